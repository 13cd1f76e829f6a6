"""kill -9 at random points: the next run completes, one champion, a whole ledger, training resumed.

`make chaos` kills more often. The kills hit what a machine loses in real life: the flow, DVC, or a process that trains.
"""

import contextlib
import itertools
import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tasks.adapters.release.registry import Registry
from tasks.adapters.storage.object_store import open_store
from tests.flows.conftest import Checkout, FirstRun, ask_for_little, make_checkout, wait_for

pytestmark = pytest.mark.slow

SEED = 20
VICTIMS = {"trainer": "tasks.adapters.training.trainer", "dvc": "dvc", "flow": "flows"}
LONGEST_LIFE_S = {"trainer": 5.0, "dvc": 20.0, "flow": 40.0}
LONGEST_WAIT_S = 900.0
LOG = "chaos.log"
FEW = 3


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


def has_checkpoint(checkout: Checkout) -> bool:
    return any((checkout.root / ".ratchet/checkpoints").glob("*/checkpoint-*/COMPLETE"))


@dataclass(frozen=True)
class Kill:
    victim: str
    had_checkpoint: bool
    """Whether a training was under way that has something to go on from."""
    is_survived: bool
    """Whether the run itself went on to its end: the training of a killed trainer is resumed at once."""


def kill_one(checkout: Checkout, victim: str, rng: random.Random) -> Kill | None:
    """Start a run, kill -9 the victim at a random moment of its life, and wait for the end. None: the run was through.

    A trainer is killed once there is something to go on from: its run must not start over.
    """
    with (checkout.root / ".ratchet" / LOG).open("a") as file:
        run = checkout.start("run", "--reason", f"chaos {victim}", into=file)
        root = psutil.Process(run.pid)
        if victim == "trainer":
            wait_for(lambda: has_checkpoint(checkout) or run.poll() is not None, "no checkpoint", LONGEST_WAIT_S)
        time.sleep(rng.uniform(0, LONGEST_LIFE_S[victim]))
        wait_for(lambda: find(root, VICTIMS[victim]) is not None or run.poll() is not None, victim, LONGEST_WAIT_S)
        target, family = find(root, VICTIMS[victim]), descendants(root)
        if target is None or run.poll() is not None:
            assert run.wait(LONGEST_WAIT_S) == 0, log_of(checkout)[-4000:]
            return None
        had_checkpoint = has_checkpoint(checkout)
        with contextlib.suppress(ProcessLookupError):
            os.kill(target.pid, signal.SIGKILL)
        try:
            code = run.wait(LONGEST_WAIT_S)
        finally:
            run.kill()
    assert_gone(family)
    return Kill(victim, had_checkpoint, is_survived=code == 0)


def log_of(checkout: Checkout) -> str:
    return (checkout.root / ".ratchet" / LOG).read_text()


def assert_gone(family: list[psutil.Process]) -> None:
    """No process of a killed run lives on."""
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not [process for process in alive if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def starting_point(request: pytest.FixtureRequest, root: Path, *, many: bool) -> tuple[Checkout, int]:
    """Return a checkout and the seed of its next candidate: for few kills one that is curated already."""
    if many:
        root.mkdir()
        return make_checkout(root), 0
    first_run: FirstRun = request.getfixturevalue("first_run")
    return first_run.copy(root), 1


def test_after_any_kill_the_next_run_completes_and_nothing_is_lost(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    kills = request.config.getoption("--chaos-kills")
    checkout, seed = starting_point(request, tmp_path / "checkout", many=kills > FEW)
    rng, victims = random.Random(SEED), itertools.cycle(VICTIMS)
    checkout.configure("finetune.train", {"checkpoint_every": 1, "max_examples": 24, "seed": seed})
    checkout.configure("finetune.evaluate", {"items": 16, "probe_items": 10, "max_new_tokens": 16})
    ask_for_little(checkout)
    done: list[Kill] = []
    while len(done) < kills:
        if kill := kill_one(checkout, next(victims), rng):
            done.append(kill)
            print(kill)  # noqa: T201 (make chaos shows it)
        if kill is None or kill.is_survived:  # the next run gets another candidate to train
            seed += 1
            checkout.configure("finetune.train", {"seed": seed})
    everything = log_of(checkout) + checkout.ratchet("run", "--reason", "after the chaos")
    assert any(kill.had_checkpoint for kill in done) == ("training goes on from step" in everything), "started over"
    registry = Registry(open_store(str(checkout.root / ".ratchet/store"), None))
    registry.verify()
    entries = registry.ledger.entries()
    verdicts = [entry.content["verdict"]["outcome"] for entry in entries if entry.kind == "verdict"]
    moves = [entry for entry in entries if entry.kind == "pointer" and entry.content["name"] == "champion"]
    assert len(verdicts) == len(registry.models()) == seed + 1, "one version and one verdict a candidate"
    assert len(moves) == verdicts.count("PROMOTE"), "one champion"
    assert "up to date" in checkout.dvc("status")
