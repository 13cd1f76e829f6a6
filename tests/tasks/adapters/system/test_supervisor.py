"""The supervisor starts, restarts and ends real, small processes."""

import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from tasks.adapters.system.ports import free_ports
from tasks.adapters.system.supervisor import Service, Services

WEB = (
    "import http.server, sys; http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), "
    "http.server.SimpleHTTPRequestHandler).serve_forever()"
)
PARENT = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]], start_new_session=True).wait()"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


def python(name: str, log: Path, *arguments: str, **values) -> Service:
    return Service(name, (sys.executable, "-c", *arguments), log / f"{name}.log", **values)


def check_until(services: Services, condition, longest_s: float = 20) -> None:
    deadline = time.monotonic() + longest_s
    while not condition():
        assert time.monotonic() < deadline
        services.check()
        time.sleep(0.05)


def test_a_service_is_told_when_it_answers_and_one_that_needs_it_starts_then(tmp_path: Path) -> None:
    port, said = free_ports(1)[0], []
    address = f"http://127.0.0.1:{port}"
    first = python("web", tmp_path, WEB, str(port), shown=address, health_url=address)
    second = python("needy", tmp_path, "import time; time.sleep(600)", shown="here", after="web")
    services = Services([first, second], said.append)
    try:
        check_until(services, lambda: services.are_up)
        assert [line.split()[0] for line in said] == ["web", "needy"]
        assert address in said[0]
    finally:
        services.end()


def newcomers(before: set[psutil.Process]) -> list[psutil.Process]:
    """Return the descendants of this process that were not there before."""
    return [child for child in psutil.Process().children(recursive=True) if child not in before]


def test_no_descendant_is_left_not_even_one_with_a_session_of_its_own(tmp_path: Path) -> None:
    before = set(newcomers(set()))
    services = Services([python("parent", tmp_path, PARENT, "import time; time.sleep(600)")], lambda _: None)
    children: list[psutil.Process] = []

    def has_grandchild() -> bool:
        children[:] = newcomers(before)
        return len(children) == 2

    check_until(services, has_grandchild)
    services.end()
    assert not [child for child in children if child.is_running()]


def test_one_that_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.adapters.system.supervisor.GRACE_S", 0.2)
    monkeypatch.setattr("tasks.adapters.system.supervisor.KILL_S", 0.5)
    before = set(newcomers(set()))
    services = Services([python("stubborn", tmp_path, STUBBORN)], lambda _: None)
    check_until(services, lambda: services.are_up)
    time.sleep(0.5)  # until it ignores the signal
    children = newcomers(before)
    assert children
    started = time.monotonic()
    services.end()
    assert time.monotonic() - started < 10
    assert not [child for child in children if child.is_running()]


def test_one_that_ends_is_said_once_with_its_last_words_and_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.adapters.system.supervisor.FIRST_PAUSE_S", 0.1)
    said: list[str] = []
    dying = python(
        "dying", tmp_path, "import sys; sys.exit('DataError: no model yet')", health_url="http://127.0.0.1:1"
    )
    services = Services([dying], said.append)
    log = tmp_path / "dying.log"
    try:
        check_until(services, lambda: log.exists() and log.read_text().count("no model yet") >= 2)
    finally:
        services.end()
    assert len(said) == 1
    assert "code 1" in said[0]
    assert "DataError: no model yet" in said[0]


def test_children_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        services = Services([python("orphan", tmp_path, "import os, time; print(os.getpid()); time.sleep(600)")], print)
        services.check()
        time.sleep(600)
    log = tmp_path / "orphan.log"
    deadline = time.monotonic() + 20
    while not (log.exists() and log.read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    orphan = psutil.Process(int(log.read_text()))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    psutil.wait_procs([orphan], timeout=10)
    assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
