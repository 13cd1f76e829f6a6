"""kill -9 at random points: the next run completes, one champion, a whole ledger, training resumed.

`make chaos` kills more often. The kills hit what a machine loses in real life: the flow, DVC, or a process that trains.
"""

import contextlib
import os
import random
import signal
import time

import psutil
import pytest

from tasks.adapters.registry import Registry
from tasks.adapters.storage import open_store

from .conftest import Checkout  # type: ignore[import-not-found]

pytestmark = pytest.mark.slow

SEED = 20
VICTIMS = {"flow": "flows", "dvc": "dvc", "trainer": "tasks.adapters.trainer"}
LONGEST_WAIT_S = 300.0


def descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def find(root: psutil.Process, module: str) -> psutil.Process | None:
    """Return a process of the run that executes `module`, the newest one."""
    for process in [*reversed(descendants(root)), root]:
        try:
            if module in process.cmdline()[1:6]:
                return process
        except psutil.Error:
            continue
    return None


def kill_one(checkout: Checkout, victim: str, rng: random.Random) -> str:
    """Start a run, wait for the victim to exist and a random moment more, kill -9 it, and wait for the run to end."""
    log = checkout.root / ".ratchet" / "chaos.log"
    with log.open("a") as file:
        run = checkout.start("run", "--reason", f"chaos {victim}", into=file)
        root = psutil.Process(run.pid)
        deadline = time.monotonic() + LONGEST_WAIT_S
        target = None
        while target is None and run.poll() is None and time.monotonic() < deadline:
            target = find(root, VICTIMS[victim])
            time.sleep(0.1)
        if target is None:
            assert run.wait(LONGEST_WAIT_S) == 0, log.read_text()[-4000:]
            return "finished before the kill"
        time.sleep(rng.uniform(0.5, 12 if victim == "trainer" else 25))
        family = descendants(root)
        with contextlib.suppress(ProcessLookupError):
            os.kill(target.pid, signal.SIGKILL)
        run.wait(LONGEST_WAIT_S)
    assert_gone(family)
    return "killed"


def assert_gone(family: list[psutil.Process]) -> None:
    """No process of a killed run lives on."""
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not [process for process in alive if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def test_after_any_kill_the_next_run_completes_and_nothing_is_lost(
    checkout: Checkout, request: pytest.FixtureRequest
) -> None:
    kills = request.config.getoption("--chaos-kills")
    if not kills:
        pytest.skip("kills nothing without --chaos-kills N: `make chaos`")
    rng = random.Random(SEED)
    victims = [list(VICTIMS)[::-1][number % len(VICTIMS)] for number in range(kills)]
    was_training = False
    for victim in victims:
        print(f"{victim}: {kill_one(checkout, victim, rng)}")  # noqa: T201 (make chaos shows it)
        was_training |= any((checkout.root / ".ratchet/checkpoints").glob("*/checkpoint-*/COMPLETE"))
    output = checkout.ratchet("run", "--reason", "after the chaos")
    everything = (checkout.root / ".ratchet/chaos.log").read_text() + output
    assert was_training == ("training goes on from step" in everything), "training started over"
    registry = Registry(open_store(str(checkout.root / ".ratchet/store"), None))
    registry.verify()
    assert len(registry.models()) == 1
    entries = registry.ledger.entries()
    assert sum(entry.kind == "verdict" for entry in entries) == 1
    assert sum(entry.kind == "pointer" and entry.content["name"] == "champion" for entry in entries) <= 1
    assert "up to date" in checkout.dvc("status")
