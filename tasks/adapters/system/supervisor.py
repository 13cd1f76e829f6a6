"""Supervise long-lived child processes: start them in order, restart the ones that end, end all together (psutil).

Each has a session of its own, so that Ctrl-C at a terminal reaches the parent alone, which then ends its children in
an order that loses nothing. Every descendant is remembered while it lives; none outlives `end`. Each child also asks
the kernel to be killed with its parent (processes.die_with_parent). Caveat: of a parent that is killed with -9, what a
child has started itself ends only if it asked for that too.
"""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from tasks.adapters.system.processes import die_with_parent

POLL_S = 0.5
HEALTH_TIMEOUT_S = 2.0
GRACE_S = 20.0
KILL_S = 5.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 60.0


@dataclass(frozen=True)
class Service:
    """A process to keep running. `health_url` answers when it is up; None: it is up when it runs."""

    name: str
    command: tuple[str, ...]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    shown: str = ""
    """Address for a person."""
    health_url: str | None = None
    after: str | None = None
    """Service that must be up first."""
    is_printed: bool = False
    """What it prints is for a person: it goes to our own output, its log to the file."""


@dataclass
class _Running:
    service: Service
    process: subprocess.Popen[bytes] | None = None
    is_up: bool = False
    is_reported: bool = False
    pause_s: float = field(default_factory=lambda: FIRST_PAUSE_S)
    start_at: float = 0.0
    family: dict[tuple[int, float], psutil.Process] = field(default_factory=dict)
    """The process and every descendant seen."""


class Services:
    """Keeps services running from `start` on until `end`. `echo` prints what a person should read."""

    def __init__(self, services: list[Service], echo: Callable[[str], None]) -> None:
        self._all = {service.name: _Running(service) for service in services}
        self._echo = echo

    def check(self) -> None:
        """Look at each service once: start what may start, print what is up and what has ended. Call it often."""
        for running in self._all.values():
            self._check(running)
            _remember(running)

    @property
    def are_up(self) -> bool:
        """Whether every service answers."""
        return all(running.is_up for running in self._all.values())

    def end(self, must_kill: Callable[[], bool] = lambda: False) -> None:
        """End all, the first started last; what has not ended within GRACE_S, or when `must_kill` is true, is killed.

        What a service has started ends with it, while the services before it still run: a flow can report its end.
        """
        for running in reversed(self._all.values()):
            if running.process is not None:
                _end(running, running.process, must_kill)

    def _check(self, running: _Running) -> None:
        if running.process is not None and running.process.poll() is not None:
            self._report_end(running, running.process.returncode)
        if running.process is None:
            if self._may_start(running):
                running.process = _start(running.service)
            return
        if not running.is_up and _answers(running.service.health_url):
            running.is_up, running.pause_s = True, FIRST_PAUSE_S
            if running.service.shown:
                self._echo(f"{running.service.name:<12} {running.service.shown}")

    def _may_start(self, running: _Running) -> bool:
        after = running.service.after
        return time.monotonic() >= running.start_at and (after is None or self._all[after].is_up)

    def _report_end(self, running: _Running, code: int) -> None:
        """Say that a service has ended, once until it is up again, and let it start again after a pause."""
        if running.is_up or not running.is_reported:
            reason = _last_line(running.service.log)
            self._echo(
                f"{running.service.name:<12} ended (code {code}), and is started again every "
                f"{running.pause_s:g} s or more: {reason or 'it said nothing'} (log: {running.service.log})"
            )
            running.is_reported = True
        running.process, running.is_up = None, False
        running.start_at = time.monotonic() + running.pause_s
        running.pause_s = min(2 * running.pause_s, LONGEST_PAUSE_S)


def _remember(running: _Running) -> None:
    if running.process is not None:
        with contextlib.suppress(psutil.Error):
            service = psutil.Process(running.process.pid)
            for child in (service, *service.children(recursive=True)):
                running.family[(child.pid, child.create_time())] = child
    running.family = {key: child for key, child in running.family.items() if child.is_running()}


def _end(running: _Running, process: subprocess.Popen[bytes], must_kill: Callable[[], bool]) -> None:
    _remember(running)
    if process.poll() is None:
        process.terminate()
        _wait(process, GRACE_S, must_kill)
        _remember(running)
    for signal_all, longest_s in (("terminate", KILL_S), ("kill", KILL_S)):
        left = [child for child in running.family.values() if child.is_running()]
        for child in left:
            with contextlib.suppress(psutil.Error):
                getattr(child, signal_all)()
        psutil.wait_procs(left, timeout=0.0 if must_kill() and signal_all == "terminate" else longest_s)
    process.wait()


def _start(service: Service) -> subprocess.Popen[bytes]:
    service.log.parent.mkdir(parents=True, exist_ok=True)
    with service.log.open("ab") as log:
        return subprocess.Popen(
            service.command,
            env={**os.environ, **service.environment, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=None if service.is_printed else log,
            stderr=log,
            start_new_session=True,
            preexec_fn=die_with_parent,  # no thread of ours holds a lock that the child could need
        )


def _answers(health_url: str | None) -> bool:
    if health_url is None:
        return True
    try:
        return httpx.get(health_url, timeout=HEALTH_TIMEOUT_S).status_code < httpx.codes.INTERNAL_SERVER_ERROR
    except httpx.HTTPError:
        return False


def _wait(process: subprocess.Popen[bytes], longest_s: float, must_kill: Callable[[], bool]) -> None:
    deadline = time.monotonic() + longest_s
    while process.poll() is None and time.monotonic() < deadline and not must_kill():
        time.sleep(0.05)


def _last_line(log: Path) -> str:
    with contextlib.suppress(OSError):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
    return ""
