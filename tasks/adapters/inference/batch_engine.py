"""Batch inference: greedy answers to many prompts, in this process or in several.

`open_engine` loads an engine in this process. `EngineProcesses` shares the prompts among processes of one thread each:
where cores are busy, two threads that wait for each other at every layer lose more than a second copy of the weights
costs. A failure belongs to its request: an answer has a status, and one that is not `ok` is no measurement.
"""

import json
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from tasks.adapters.inference.batch_types import (
    Answer,
    Engine,
    EngineName,
    EngineSpec,
    Limits,
    OnAnswer,
    Precision,
    failed,
    limits_of,
)
from tasks.adapters.models.base_model import BaseModel
from tasks.adapters.system.processes import run_supervised
from tasks.core.chat.prefix_groups import shares

logger = logging.getLogger(__name__)


ANSWER_LINE = "@answer "


def open_engine(spec: EngineSpec) -> Engine:
    """Load the model in this process and return its engine; takes some seconds."""
    if spec.engine == "openvino":
        from tasks.adapters.inference.batch_openvino import OpenVinoEngine

        return OpenVinoEngine(spec)
    from tasks.adapters.inference.batch_transformers import TransformersEngine

    return TransformersEngine(spec)


def best_precision() -> Precision:
    """Return bf16 where this processor computes in it, else f32."""
    from tasks.adapters.inference.openvino_pipeline import has_bf16

    return "bf16" if has_bf16() else "f32"


def choose_engine(wanted: EngineName | Literal["auto"], base: BaseModel) -> EngineName:
    """Return the engine for a base model: openvino reads those that come from a GGUF file, transformers all."""
    if wanted != "auto":
        return wanted
    if base.gguf is not None:
        return "openvino"
    logger.info("%s has no GGUF source: the transformers engine answers, several times slower", base.id)
    return "transformers"


class EngineProcesses:
    """The same engine in several processes, which end with this call or with this process.

    Which prompts share a process follows from `spec.processes` alone, so that a machine with more threads gives the
    same answers; with fewer threads than processes, some wait for others.
    """

    def __init__(self, spec: EngineSpec) -> None:
        self._spec = spec

    def answer(self, prompts: Sequence[str], max_new_tokens: Limits, on_done: OnAnswer | None = None) -> list[Answer]:
        """Answer `prompts`; what was lost with its process has the status `error`."""
        limits = limits_of(max_new_tokens, prompts)
        parts = shares(prompts, self._spec.processes)
        spec = replace(self._spec, threads=max(1, self._spec.threads // max(len(parts), 1)))
        answers = [failed("error")] * len(prompts)
        lock, stopped = threading.Lock(), threading.Event()

        def run(part: Sequence[int]) -> None:
            def keep(place: int, answer: Answer) -> None:
                if stopped.is_set():
                    raise InterruptedError  # ends the process
                with lock:
                    answers[part[place]] = answer
                    if on_done:
                        on_done(part[place], answer)

            _run_worker(_Job(spec, [prompts[i] for i in part], [limits[i] for i in part]), keep)

        with ThreadPoolExecutor(max_workers=max(1, min(len(parts), self._spec.threads))) as pool:
            try:
                list(pool.map(run, parts))
            except BaseException:
                stopped.set()
                raise
        return answers


@dataclass(frozen=True)
class _Job:
    spec: EngineSpec
    prompts: list[str]
    limits: list[int]


def work(job_file: Path) -> None:
    """Answer the prompts of a job file and print each answer as a line: the child's side of `EngineProcesses`."""
    job = json.loads(job_file.read_text(encoding="utf-8"))
    spec = EngineSpec(
        **{**job["spec"], "weights": Path(job["spec"]["weights"]), "tokenizer": Path(job["spec"]["tokenizer"])}
    )
    open_engine(spec).answer(job["prompts"], job["limits"], _say)


def _say(place: int, answer: Answer) -> None:
    sys.stdout.write(f"\n{ANSWER_LINE}{json.dumps([place, asdict(answer)])}\n")  # a library may have left half a line
    sys.stdout.flush()


def _run_worker(job: _Job, on_answer: OnAnswer) -> None:
    last: list[str] = []

    def hear(line: str) -> None:
        if line.startswith(ANSWER_LINE):
            place, answer = json.loads(line.removeprefix(ANSWER_LINE))
            on_answer(place, Answer(**answer))
        elif line.strip():
            last[:] = [*last[-2:], line.strip()]

    with tempfile.TemporaryDirectory(prefix="ratchet-engine-") as folder:
        path = Path(folder) / "job.json"
        path.write_text(json.dumps(asdict(job), default=str), encoding="utf-8")
        command = [sys.executable, "-m", "tasks.adapters.inference.batch_worker", str(path)]
        code = run_supervised(command, hear, environment=_environment(job.spec))
    if code != 0:
        logger.warning("an engine process ended with code %d: %s", code, " / ".join(last))


def _environment(spec: EngineSpec) -> dict[str, str]:
    root = str(Path(__file__).parents[3])  # the worker starts wherever this process runs
    inherited = os.environ.get("PYTHONPATH")
    return {"OMP_NUM_THREADS": str(spec.threads), "PYTHONPATH": f"{root}{os.pathsep}{inherited}" if inherited else root}
