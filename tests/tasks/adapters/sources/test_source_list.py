from pathlib import Path

import pytest
import yaml

from tasks.adapters.sources.source_list import add_sources
from tasks.core.errors import ConfigError
from tasks.core.sources.kinds import FeedbackRecords, Files, PackageReference
from tasks.curate.ingest import Config

SCIPY = PackageReference(kind="package_reference", packages=["scipy"])
NOTES = Files(kind="files", documents=["notes/**/*.md"])
FEEDBACK = FeedbackRecords(kind="feedback", path=".ratchet/feedback")


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "ingest.yaml"
    path.write_text(text)
    return path


def test_sources_join_the_shipped_list_and_leave_all_else_as_it_was(tmp_path: Path, repository: Path) -> None:
    text = (repository / "configs/curate/ingest.yaml").read_text()
    path = written(tmp_path, text)
    assert add_sources(path, [SCIPY, NOTES, FEEDBACK]) == [SCIPY, NOTES, FEEDBACK]
    lines, before = path.read_text().splitlines(), text.splitlines()
    assert [line for line in lines if line not in before] == [
        "  - {kind: package_reference, packages: [scipy]}",
        "  - {documents: [notes/**/*.md], kind: files}",
        "  - {kind: feedback, path: .ratchet/feedback}",
    ]
    assert [line for line in lines if line in before] == before
    config = Config.model_validate(yaml.safe_load(path.read_text()))
    assert config.sources[1:] == [SCIPY, NOTES, FEEDBACK]


@pytest.mark.parametrize(
    "text",
    [
        "sources:\n- kind: python_reference\n  exclude:\n  - json\n",
        "sources:\n    - kind: python_reference\n      max_per_module: 2\n\nmax_quarantined: 0.3\n",
        "max_quarantined: 0.3\nsources:\n  - {kind: python_reference} # ours",
        "sources:\n  - kind: python_reference\n    # a note\n# another\nmax_quarantined: 0.3\n",
    ],
)
def test_any_way_to_write_the_list_is_understood(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    before = Config.model_validate(yaml.safe_load(text))
    add_sources(path, [SCIPY])
    after = Config.model_validate(yaml.safe_load(path.read_text()))
    assert after.sources == [*before.sources, SCIPY]
    assert after.max_quarantined == before.max_quarantined


def test_what_is_listed_is_not_added_again(tmp_path: Path) -> None:
    path = written(tmp_path, "sources:\n  - {kind: package_reference, packages: [numpy, scipy]}\n")
    assert add_sources(path, [SCIPY, NOTES, NOTES]) == [NOTES]
    text = path.read_text()
    assert add_sources(path, [SCIPY, NOTES]) == []
    assert path.read_text() == text


@pytest.mark.parametrize(
    "text", ["", "sources: [{kind: python_reference}]\n", "sources:\n  - {kind: nonsense}\n", "- a\n", "sources: [\n"]
)
def test_a_list_that_cannot_be_added_to_is_left_alone(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError, match="sources"):
        add_sources(path, [SCIPY])
    assert path.read_text() == text
