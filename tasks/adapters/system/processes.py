"""Run child processes that never outlive their parent (Linux prctl, psutil).

A launcher's return code is not proof of success, nor its death the end of its ranks: the supervisor remembers the whole
tree, ends it, and leaves the question of success to a marker file that the child renames into place last.
"""

import contextlib
import ctypes
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import psutil

PR_SET_PDEATHSIG = 1  # linux/prctl.h
WATCH_INTERVAL_S = 0.3
CHUNK_BYTES = 65536
GRACE_S = 10.0


def die_with_parent(signal_number: int = signal.SIGKILL) -> None:
    """Ask the kernel to send this process `signal_number` when its parent ends. Does nothing outside Linux."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL("libc.so.6", use_errno=True).prctl(PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent:  # it ended between the two calls
        os.kill(os.getpid(), signal_number)


def allow_open_files(number: int) -> int:
    """Let this process hold so many open files, as far as it may, and return how many it may now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number if hard == resource.RLIM_INFINITY else min(number, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return number if soft == resource.RLIM_INFINITY else soft


def run_supervised(
    command: Sequence[str],
    on_line: Callable[[str], None],
    *,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> int:
    """Run `command`, pass each line of its output to `on_line`, and return its exit code (negative: a signal).

    Whatever ends this call, also KeyboardInterrupt or a cancelled flow, every descendant has ended when it returns.
    """
    process = subprocess.Popen(
        command,
        env={**os.environ, **(environment or {}), "PYTHONUNBUFFERED": "1"},
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=die_with_parent,  # no thread of ours holds a lock that the child could need
    )
    family: dict[tuple[int, float], psutil.Process] = {}
    try:
        for line in _lines(process, family):
            on_line(line)
        return process.wait()
    finally:
        _remember(process.pid, family)  # whoever was born since the last look
        _end(process, list(family.values()))


def _lines(process: subprocess.Popen[bytes], family: dict[tuple[int, float], psutil.Process]) -> Iterator[str]:
    """Yield lines until the process ends, even if a grandchild keeps the pipe open; note every descendant."""
    assert process.stdout is not None
    pending = b""
    with process.stdout as pipe:
        while True:
            _remember(process.pid, family)
            has_ended = process.poll() is not None
            ready, _, _ = select.select([pipe], [], [], 0 if has_ended else WATCH_INTERVAL_S)
            chunk = os.read(pipe.fileno(), CHUNK_BYTES) if ready else b""
            *lines, pending = (pending + chunk).split(b"\n")
            yield from (line.decode(errors="replace") for line in lines)
            if not chunk and (ready or has_ended):
                break
    if pending:
        yield pending.decode(errors="replace")


def _remember(pid: int, family: dict[tuple[int, float], psutil.Process]) -> None:
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(pid).children(recursive=True):
            family[(child.pid, child.create_time())] = child


def _end(process: subprocess.Popen[bytes], family: list[psutil.Process]) -> None:
    alive = [child for child in family if child.is_running()]
    if process.poll() is None:
        alive.append(psutil.Process(process.pid))
    for child in alive:
        with contextlib.suppress(psutil.Error):
            child.terminate()
    _, stubborn = psutil.wait_procs(alive, timeout=GRACE_S)
    for child in stubborn:
        with contextlib.suppress(psutil.Error):
            child.kill()
    psutil.wait_procs(stubborn, timeout=GRACE_S)
    process.wait()
