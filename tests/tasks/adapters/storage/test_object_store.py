"""One contract for every store: the same tests run against a folder, moto and, where one is named, a real S3 server."""

import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from tasks.adapters.storage import object_store_s3
from tasks.adapters.storage.object_store import FolderStore, Store, open_store
from tasks.core.errors import ConfigError, ExternalError

RACERS = 10


def test_what_was_put_is_there_and_what_was_not_is_none(store: Store) -> None:
    assert store.get("a/b.json") is None
    assert store.size("a/b.json") is None
    assert store.put_if_absent("a/b.json", b"one")
    assert store.get("a/b.json") == b"one"
    assert store.size("a/b.json") == 3


def test_a_second_put_changes_nothing(store: Store) -> None:
    assert store.put_if_absent("key", b"first")
    assert not store.put_if_absent("key", b"second")
    assert not store.put_if_absent("key", b"first")
    assert store.get("key") == b"first"


def test_a_swap_needs_the_expected_content(store: Store) -> None:
    assert not store.compare_and_swap("pointer", b"something", b"new")
    assert store.compare_and_swap("pointer", None, b"one")
    assert not store.compare_and_swap("pointer", None, b"two")
    assert not store.compare_and_swap("pointer", b"two", b"three")
    assert store.compare_and_swap("pointer", b"one", b"two")
    assert store.compare_and_swap("pointer", b"two", b"three")
    assert store.get("pointer") == b"three"


def test_keys_are_listed_by_prefix_in_order(store: Store) -> None:
    for key in ("ledger/2", "ledger/1", "ledger-keys/x", "models/a/manifest.json"):
        store.put_if_absent(key, b"x")
    store.compare_and_swap("ledger/1", b"x", b"y")
    assert store.list("ledger/") == ["ledger/1", "ledger/2"]
    assert store.list("models/a") == ["models/a/manifest.json"]
    assert store.list("nothing/") == []
    assert store.list("") == ["ledger-keys/x", "ledger/1", "ledger/2", "models/a/manifest.json"]


def test_more_keys_than_a_page_holds_are_all_listed(moto_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store_s3, "PAGE_KEYS", 3)
    keys = [f"many/{number:04d}" for number in range(10)]
    for key in keys:
        moto_store.put_if_absent(key, b"")
    assert moto_store.list("many/") == keys


def test_a_file_comes_back_byte_for_byte(store: Store, tmp_path: Path) -> None:
    content = os.urandom(9 * 1024 * 1024)  # more than one part of a multipart upload
    (tmp_path / "model.bin").write_bytes(content)
    store.upload("blobs/abc", tmp_path / "model.bin")
    store.upload("blobs/abc", tmp_path / "model.bin")
    assert store.size("blobs/abc") == len(content)
    assert store.download("blobs/abc", tmp_path / "deep" / "copy.bin")
    assert (tmp_path / "deep" / "copy.bin").read_bytes() == content
    assert not list(tmp_path.rglob("*.part"))


def test_downloading_what_is_not_there_leaves_nothing(store: Store, tmp_path: Path) -> None:
    assert not store.download("blobs/none", tmp_path / "copy.bin")
    assert list(tmp_path.glob("copy*")) == []


def test_of_ten_racing_writers_one_wins(store: Store) -> None:
    for round_number in range(3):
        key = f"race/{round_number}"
        wins = race(lambda n, key=key: store.put_if_absent(key, f"writer {n}".encode()))
        assert sum(wins) == 1
        assert store.get(key) == f"writer {wins.index(True)}".encode()


def test_of_ten_racing_swaps_one_wins(store: Store) -> None:
    store.put_if_absent("pointer", b"start")
    wins = race(lambda n: store.compare_and_swap("pointer", b"start", f"writer {n}".encode()))
    assert sum(wins) == 1
    assert store.get("pointer") == f"writer {wins.index(True)}".encode()


def test_every_swap_of_a_shared_counter_counts(store: Store) -> None:
    store.put_if_absent("counter", b"0")

    def count(_: int) -> bool:
        for _ in range(200):
            before = store.get("counter")
            assert before is not None
            if store.compare_and_swap("counter", before, str(int(before) + 1).encode()):
                return True
        return False

    assert all(race(count, racers=4))
    assert store.get("counter") == b"4"


def race(act, racers: int = RACERS) -> list[bool]:
    """Call `act(0)`, `act(1)` ... at the same moment and return what each said."""
    start = Barrier(racers)

    def go(number: int) -> bool:
        start.wait()
        return act(number)

    with ThreadPoolExecutor(racers) as pool:
        return list(pool.map(go, range(racers)))


def _swap_in_process(arguments: tuple[str, int]) -> bool:
    folder, number = arguments
    return FolderStore(Path(folder)).compare_and_swap("pointer", b"start", f"writer {number}".encode())


def test_of_racing_processes_one_wins_too(tmp_path: Path) -> None:
    FolderStore(tmp_path).put_if_absent("pointer", b"start")
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        wins = pool.map(_swap_in_process, [(str(tmp_path), number) for number in range(8)])
    assert sum(wins) == 1


@pytest.mark.parametrize("key", ["../outside", "/etc/passwd", "a/../b", ".locks/x", "a//b", ""])
def test_a_key_never_leaves_the_folder(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="not a key"):
        FolderStore(tmp_path).put_if_absent(key, b"x")


def test_a_folder_store_keeps_no_temporary_file(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put_if_absent("a", b"1")
    store.put_if_absent("a", b"2")
    store.compare_and_swap("a", b"1", b"2")
    assert list((tmp_path / ".temporary").iterdir()) == []


@pytest.mark.parametrize("url", ["ftp://host/folder", "", "file://host/folder"])
def test_an_address_that_is_no_store_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="RATCHET_STORE_URL"):
        open_store(url)
    with pytest.raises(ConfigError, match="names no bucket"):
        open_store("s3:///prefix")


def test_a_file_url_is_a_folder(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/with%20space")
    assert isinstance(store, FolderStore)
    assert store.root == tmp_path / "with space"


def test_a_folder_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ExternalError, match=r"cannot be used.*correct its permissions"):
        FolderStore(tmp_path / "file").put_if_absent("a", b"x")


def test_a_folder_without_hard_links_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: object, target: object) -> None:
        raise PermissionError(1, "Operation not permitted", str(source), None, str(target))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(ExternalError, match="hard links"):
        FolderStore(tmp_path).put_if_absent("a", b"x")


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(ExternalError, match=r"disk .* is full"):
        FolderStore(tmp_path).put_if_absent("a", b"x")
    monkeypatch.undo()
    assert FolderStore(tmp_path).get("a") is None
