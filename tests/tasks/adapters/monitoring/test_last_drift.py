import json
import os
from pathlib import Path

from tasks.adapters.monitoring.last_drift import last_drift, monitor_folders
from tasks.core.monitoring.drift_verdict import DriftVerdict


def write(folder: Path, outcome: str, at: float, **changes: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    verdict = {"outcome": outcome, "headline": "H.", "reasons": ["r"], "rows": (1000, 500), "findings": []}
    text = DriftVerdict.model_validate({**verdict, **changes}).model_dump_json()
    (folder / "verdict.json").write_text(text)
    os.utime(folder / "verdict.json", (at, at))


def test_where_nothing_was_monitored_there_is_no_verdict(tmp_path: Path) -> None:
    assert last_drift(monitor_folders(tmp_path / "home", tmp_path / "data")) is None


def test_the_newest_verdict_counts_with_the_pages_beside_it(tmp_path: Path) -> None:
    home, data = tmp_path / "home", tmp_path / "data"
    write(home / "monitor" / "one", "NONE", 1000)
    write(home / "monitor" / "two", "CONFIRMED", 3000)
    write(data / "drift", "SUSPECTED", 2000)
    (home / "monitor" / "two" / "report.html").write_text("<p>")
    found = last_drift(monitor_folders(home, data))
    assert found is not None
    assert (found.outcome, found.rows, found.reasons) == ("CONFIRMED", (1000, 500), ("r",))
    assert found.pages == ("report.html",)
    assert found.at.timestamp() == 3000


def test_a_file_that_is_no_verdict_does_not_hide_the_one_before(tmp_path: Path) -> None:
    write(tmp_path / "one", "NONE", 1000)
    for name, text in {"two": "{", "three": "[]", "four": json.dumps({"outcome": "FINE", "rows": [1, 2]})}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "verdict.json").write_text(text)
    found = last_drift([tmp_path])
    assert found is not None
    assert found.outcome == "NONE"
