"""Which files a source names."""

import os
from pathlib import Path

import pytest

from tasks.adapters.sources import listing
from tasks.adapters.sources.listing import fingerprint, list_files
from tasks.core.errors import ConfigError

SUFFIXES = {".md", ".txt"}


@pytest.fixture
def docs(workdir: Path) -> Path:
    for name in ("docs/b.md", "docs/a/z.md", "docs/a.txt", "docs/.git/x.md", "docs/.hidden.md", "docs/photo.png"):
        path = workdir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return workdir / "docs"


@pytest.mark.usefixtures("docs")
def test_a_folder_gives_its_files_in_order_without_hidden_ones() -> None:
    files = list_files(["docs"], SUFFIXES, None)
    assert [file.uri for file in files] == ["docs/a/z.md", "docs/a.txt", "docs/b.md"]
    assert [file.relative for file in files] == ["a/z.md", "a.txt", "b.md"]


def test_names_do_not_depend_on_where_the_folder_lies(docs: Path) -> None:
    absolute = list_files([str(docs)], SUFFIXES, None)
    assert [file.uri for file in absolute] == [file.uri for file in list_files(["docs/"], SUFFIXES, None)]
    with absolute[0].open() as stream:
        assert stream.read() == b"docs/a/z.md"


@pytest.mark.usefixtures("docs")
def test_the_current_folder_lends_no_name() -> None:
    assert [file.uri for file in list_files(["."], {".txt"}, None)] == ["docs/a.txt"]


@pytest.mark.usefixtures("docs")
def test_globs_and_single_files_are_named_below_their_folder() -> None:
    assert [file.uri for file in list_files(["docs/**/*.md"], SUFFIXES, None)] == ["docs/a/z.md", "docs/b.md"]
    assert [file.uri for file in list_files(["docs/b.md"], SUFFIXES, None)] == ["b.md"]


@pytest.mark.usefixtures("docs")
def test_a_file_named_twice_is_read_once() -> None:
    assert len(list_files(["docs", "docs/a"], SUFFIXES, None)) == 3


@pytest.mark.usefixtures("docs")
@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("missing", "Source missing does not exist: create it"),
        ("docs/*.rst", r"pattern docs/\*.rst matches no file"),
        ("docs/photo.png", "ends in none of .md, .txt"),
    ],
)
def test_a_location_that_gives_nothing_is_named(location: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        list_files([location], SUFFIXES, None)


def test_the_time_is_the_files_own(docs: Path) -> None:
    os.utime(docs / "b.md", (1_700_000_000, 1_700_000_000))
    assert list_files(["docs/b.md"], SUFFIXES, None)[0].seen_at == "2023-11-14T22:13:20Z"


def test_the_fingerprint_of_few_files_follows_content_not_time(docs: Path) -> None:
    before = fingerprint(list_files(["docs"], SUFFIXES, None))
    os.utime(docs / "b.md", (1, 1))
    assert fingerprint(list_files(["docs"], SUFFIXES, None)) == before
    (docs / "b.md").write_text("docs/B.md")
    assert fingerprint(list_files(["docs"], SUFFIXES, None)) != before


def test_the_fingerprint_of_many_files_follows_size_and_time(docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_DIGESTED_BYTES", 10)
    before = fingerprint(list_files(["docs"], SUFFIXES, None))
    os.utime(docs / "b.md", (1, 1))
    assert fingerprint(list_files(["docs"], SUFFIXES, None)) != before


def test_a_new_or_removed_file_changes_the_fingerprint(docs: Path) -> None:
    before = fingerprint(list_files(["docs"], SUFFIXES, None))
    (docs / "new.md").write_text("")
    added = fingerprint(list_files(["docs"], SUFFIXES, None))
    (docs / "new.md").unlink()
    assert added != before == fingerprint(list_files(["docs"], SUFFIXES, None))
