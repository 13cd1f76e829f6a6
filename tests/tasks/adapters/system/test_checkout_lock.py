"""The checkout's lock: one holder, named to the next one, released by death."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tasks.adapters.system.checkout_lock import Holder, hold, holder_of, is_held
from tasks.core.errors import ExternalError

ME = Holder(pid=1, command="ratchet retrain", started_at="2026-01-01T00:00:00+00:00")


def test_a_second_run_learns_who_holds_the_checkout(tmp_path: Path) -> None:
    lock = tmp_path / "run.lock"
    with hold(lock, ME, wait=False):
        assert is_held(lock)
        with pytest.raises(ExternalError, match=r"process 1 \(ratchet retrain, since 2026"), hold(lock, ME, wait=False):
            pass
    assert not is_held(lock)
    assert holder_of(lock) is None


def test_a_run_that_waits_gets_the_lock_when_the_first_lets_go(tmp_path: Path) -> None:
    lock = tmp_path / "run.lock"
    order: list[str] = []

    def second() -> None:
        with hold(lock, ME, wait=True):
            order.append("second")

    with hold(lock, ME, wait=False):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.2)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_a_killed_holder_is_reported_to_the_next_run(tmp_path: Path, repository: Path) -> None:
    lock = tmp_path / "run.lock"
    code = f"""
import os, signal
from pathlib import Path
from tasks.adapters.system.checkout_lock import Holder, hold
with hold(Path({str(lock)!r}), Holder(7, "ratchet retrain", "then"), wait=False):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], cwd=repository, check=False)
    with hold(lock, ME, wait=False) as died:
        assert died == Holder(7, "ratchet retrain", "then")


def test_a_run_that_fails_was_not_killed(tmp_path: Path) -> None:
    lock = tmp_path / "run.lock"
    with pytest.raises(ExternalError, match="the store is away"), hold(lock, ME, wait=False):
        raise ExternalError("the store is away")
    with hold(lock, ME, wait=False) as died:
        assert died is None
