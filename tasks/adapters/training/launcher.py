"""Launch the ranks of a training and verify its result (torchrun, or the `deepspeed` launcher).

A training succeeded when `result.json` is there, which rank 0 writes last, and the adapter has the digest it names. The
launcher's return code is not relied on: `deepspeed` gave 0 with two ranks alive after its own child was killed, and a
process that aborts in its teardown gives non-zero after a good save.
"""

import json
import logging
import shutil
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TextIO

from tasks.adapters.models.gguf_export import adapter_digest
from tasks.adapters.system.processes import run_supervised
from tasks.adapters.system.progress import Progress
from tasks.adapters.training.trainer import STEP_PREFIX, checkpoints
from tasks.adapters.training.training_plan import (
    ADAPTER,
    REFUSAL,
    RESULT,
    TrainingPlan,
    TrainingResult,
    read_packs,
    read_plan,
    read_result,
)
from tasks.core.errors import BY_NAME, DataError, ExternalError, RatchetError
from tasks.core.training.packing import schedule

logger = logging.getLogger(__name__)

MODULE = "tasks.adapters.training.trainer"
OUTPUT = "ranks.log"
"""File beside the plan that keeps the output of the ranks."""


class _OutputReader:
    """Reports progress from the step lines of rank 0, and writes the output of all ranks to a file."""

    def __init__(self, tokens_of_steps: Sequence[int], output: TextIO) -> None:
        self._tokens, self._output = tokens_of_steps, output
        self._progress: Progress | None = None
        self._step, self._seen, self._since = 0, 0, 0.0

    def read_line(self, line: str) -> None:
        _, prefix, text = line.partition(STEP_PREFIX)
        self._output.write(line + "\n")
        if not prefix:
            return
        values = json.loads(text)
        step = int(values["step"])
        if self._progress is None:  # the first step, perhaps of a resumed run, starts the clock
            self._progress = Progress("finetune.train", len(self._tokens) - step)
            self._step, self._since = step, time.monotonic()
            logger.info("finetune.train step %d/%d, loss %.3f", step, len(self._tokens), values["loss"])
            return
        self._seen += sum(self._tokens[self._step : step])
        rate = self._seen / max(time.monotonic() - self._since, 1e-9)
        message = f"step {step}/{len(self._tokens)}, loss {values['loss']:.3f}, {rate:.0f} tokens/s"
        self._progress.advance(step - self._step, message)
        self._step = step


def train(folder: Path, *, launcher: Literal["torchrun", "deepspeed"], hostfile: Path | None = None) -> TrainingResult:
    """Train by the plan in `folder`, from its last complete checkpoint, and return the result.

    A plan that has its result is not trained again. When this call ends, for whatever reason, no rank is left. Raises
    the error that a rank left as a file, or ExternalError where the ranks ended without result and error.
    """
    result = _verified_result(folder)
    if result is not None:
        logger.info("training of this plan had finished: nothing to do")
        return result
    plan = read_plan(folder)
    _delete_partial_checkpoints(folder)
    with (folder / OUTPUT).open("a", encoding="utf-8", buffering=1) as output:
        reader = _OutputReader(_tokens_of_steps(folder, plan), output)
        code = run_supervised(
            _command(folder, plan, launcher, hostfile), reader.read_line, environment=environment(plan)
        )
    result = _verified_result(folder)
    if result is None:
        raise _failure(folder, code)
    if code:
        logger.warning("the launcher ended with code %d after the adapter was saved and proven", code)
    return result


def environment(plan: TrainingPlan) -> dict[str, str]:
    """Return the environment variables of the ranks; those for CPU are left out on a machine with a GPU."""
    shared = {
        "OMP_NUM_THREADS": str(max(1, plan.threads // plan.processes)),
        "TOKENIZERS_PARALLELISM": "false",
    }
    if plan.on_gpu:
        return shared
    loopback = {"GLOO_SOCKET_IFNAME": "lo", "MASTER_ADDR": "127.0.0.1"} if sys.platform.startswith("linux") else {}
    # passive: ranks that wait for each other must not burn the core the other needs
    return {**shared, **loopback, "DS_ACCELERATOR": "cpu", "OMP_WAIT_POLICY": "passive", "CUDA_VISIBLE_DEVICES": ""}


def free_port() -> int:
    """Return a port of the loopback interface that was free a moment ago."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def _command(folder: Path, plan: TrainingPlan, launcher: str, hostfile: Path | None) -> list[str]:
    port, count = str(free_port()), str(plan.processes)
    if launcher == "deepspeed":
        hosts = ["--hostfile", str(hostfile)] if hostfile else ["--num_accelerators", count]
        start = ["-m", "deepspeed.launcher.runner", *hosts, "--master_port", port, "--module", MODULE]
    else:
        place = ["--nnodes", "1", "--master_addr", "127.0.0.1", "--master_port", port, "--nproc_per_node", count]
        start = ["-m", "torch.distributed.run", *place, "-m", MODULE]
    return [sys.executable, *start, str(folder.resolve())]


def _delete_partial_checkpoints(folder: Path) -> None:
    """Delete the incomplete checkpoints and the error of an earlier run."""
    whole = checkpoints(folder)
    for path in folder.glob("checkpoint-*"):
        if path not in whole:
            shutil.rmtree(path, ignore_errors=True)
    (folder / REFUSAL).unlink(missing_ok=True)
    if whole:
        logger.info("training goes on from step %s", whole[-1].name.rpartition("-")[2])


def _tokens_of_steps(folder: Path, plan: TrainingPlan) -> list[int]:
    steps = schedule(
        read_packs(folder), plan.packs_per_step, processes=plan.processes, epochs=plan.epochs, seed=plan.seed
    )
    return [sum(pack.size for pack in step) for step in steps]


def _verified_result(folder: Path) -> TrainingResult | None:
    result = read_result(folder)
    if result is None:
        return None
    if not (folder / ADAPTER).is_dir() or adapter_digest(folder / ADAPTER) != result.adapter_digest:
        (folder / RESULT).unlink()
        return None
    return result


def _failure(folder: Path, code: int) -> RatchetError:
    """Return the error that a rank left as a file, else that the ranks ended early."""
    path = folder / REFUSAL
    if path.exists():
        note = json.loads(path.read_text())
        return BY_NAME.get(note["type"], DataError)(note["message"])
    return ExternalError(
        f"Training ended early with code {code} (see {folder / OUTPUT}): run again, it goes on where it was."
    )
