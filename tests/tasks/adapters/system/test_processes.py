"""Supervised processes: none outlives the call, whatever ends it."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from tasks.adapters.system.processes import run_supervised

FAMILY = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep({sleep})
"""


def ends_soon(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_lines_arrive_in_order_and_the_exit_code_is_returned() -> None:
    lines: list[str] = []
    code = run_supervised([sys.executable, "-c", "print('one'); print('two'); raise SystemExit(3)"], lines.append)
    assert (lines, code) == (["one", "two"], 3)


def test_the_environment_is_added() -> None:
    lines: list[str] = []
    run_supervised([sys.executable, "-c", "import os; print(os.environ['X'])"], lines.append, environment={"X": "1"})
    assert lines == ["1"]


def test_a_grandchild_in_its_own_session_ends_with_the_call() -> None:
    pids: list[str] = []
    assert run_supervised([sys.executable, "-c", FAMILY.format(sleep=1)], pids.append) == 0
    assert ends_soon(int(pids[0]))


def test_an_error_in_the_reader_ends_the_whole_family() -> None:
    pids: list[int] = []

    def stop(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_supervised([sys.executable, "-c", FAMILY.format(sleep=60)], stop)
    assert ends_soon(pids[0])


def test_a_child_ends_when_its_parent_is_killed(repository: Path, tmp_path: Path) -> None:
    parent_code = textwrap.dedent("""
        import sys
        from tasks.adapters.system.processes import run_supervised
        run_supervised([sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"],
                       lambda line: print(line, flush=True))
    """)
    parent = subprocess.Popen([sys.executable, "-c", parent_code], stdout=subprocess.PIPE, text=True, cwd=repository)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert ends_soon(pid)
