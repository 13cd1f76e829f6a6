"""What the demo waits for, and what it prints meanwhile."""

import json
import os
import time
from pathlib import Path

import pytest

from flows.demo import waiting
from flows.demo.waiting import StageProgress, TurnedOutOtherwiseError, at_most_every, wait_until


def test_what_does_not_come_about_in_time_is_named_with_the_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "POLL_S", 0.01)
    answers = iter([False, True])
    wait_until(lambda: next(answers), "The canary came to an end", 5, tmp_path)
    with pytest.raises(TurnedOutOtherwiseError, match=rf"The canary came to an end: not within 0 s; .* {tmp_path}"):
        wait_until(lambda: False, "The canary came to an end", 0, tmp_path)


def test_a_condition_is_looked_at_now_and_then_and_never_again_once_it_held() -> None:
    looks: list[int] = []

    def condition() -> bool:
        looks.append(1)
        return len(looks) == 2

    often = at_most_every(0.0, condition)
    assert [often(), often(), often()] == [False, True, True]
    assert len(looks) == 2
    seldom = at_most_every(1000.0, lambda: bool(looks.append(1)))
    assert [seldom(), seldom()] == [False, False]
    assert len(looks) == 3


def test_the_stage_that_works_is_printed_when_it_changes(tmp_path: Path) -> None:
    printed: list[str] = []
    leave_progress(tmp_path, "ingest", age_s=100)
    progress = StageProgress(tmp_path, printed.append)
    progress.show()
    assert printed == [], "it is of a run before"
    leave_progress(tmp_path, "train", age_s=-5)
    progress.show()
    progress.show()
    leave_progress(tmp_path, "evaluate", age_s=-10)
    progress.show()
    assert printed == ["  train: 2 of 5 loss 1.1", "  evaluate: 2 of 5 loss 1.1"]


def leave_progress(home: Path, stage: str, age_s: float) -> None:
    file = home / "stages" / stage / "progress.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"done": 2, "total": 5, "message": "loss 1.1"}))
    os.utime(file, (time.time() - age_s,) * 2)
