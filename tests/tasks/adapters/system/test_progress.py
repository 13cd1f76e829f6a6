"""Progress: a file that a flow can show, written now and then and at the end."""

import json
from pathlib import Path

import pytest

from tasks.adapters.system.progress import ENVIRONMENT_VARIABLE, Progress


def test_the_last_step_is_always_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "progress.json"
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(path))
    progress = Progress("toy", total=3)
    progress.advance(1)
    assert not path.exists()
    progress.advance(2, "done")
    note = json.loads(path.read_text())
    assert (note["done"], note["total"], note["message"], note["left_s"]) == (3, 3, "done", 0.0)


def test_without_a_file_progress_only_logs(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    with caplog.at_level("INFO"):
        Progress("toy", total=1).advance()
    assert "toy 1/1" in caplog.text
