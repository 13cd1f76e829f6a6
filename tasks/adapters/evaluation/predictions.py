"""Ask a model all the prompts of an evaluation, or read the answers it gave to the very same prompts before.

Answers are cached by the digest of all that decides them: model, engine and its version, prompts and length limits. So
a run that was killed, or another training on the same data, costs only what is new. All models answer on one engine
with one precision, the one that will serve, since a comparison across precisions would measure the arithmetic too.
Caveat: the cache holds whole sets of prompts, so one changed item makes a model answer all of them again.
"""

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tasks.adapters.evaluation.evaluated_models import EvaluatedModel
from tasks.adapters.inference.batch_engine import EngineProcesses
from tasks.adapters.inference.batch_types import Answer, EngineSpec
from tasks.adapters.models.base_model import load_tokenizer
from tasks.adapters.models.chat_template import prompt_text
from tasks.adapters.storage.files import write_json
from tasks.adapters.system.progress import Progress
from tasks.core.chat import prompt
from tasks.core.errors import ExternalError
from tasks.core.evaluation.measurements import OK, Item, ProbeItem, Reply, measure, measure_probe

MAX_CACHED_SETS = 12
REPRODUCIBLE = ("ok", "empty")  # statuses that would come out again; failures are tried anew

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PromptSet:
    """All that one model is asked: the items with their retrieved context, then the general-knowledge probe."""

    items: Sequence[Item]
    probe: Sequence[ProbeItem]
    max_new_tokens: int
    """Longest answer to an item."""
    probe_tokens: int
    """Longest answer to a question of the probe."""

    @property
    def size(self) -> int:
        return len(self.items) + len(self.probe)


@dataclass(frozen=True)
class Predictions:
    """One model's answers in the order of its prompts, and the wall time of all of them together."""

    items: list[Answer]
    probe: list[Answer]
    wall_s: float

    def speed(self) -> dict[str, float]:
        """Return latency quantiles over the answered items, the wall time, and tokens a second over everything."""
        seconds = [answer.seconds for answer in self.items if answer.status == OK]
        p50, p95 = (round(float(np.quantile(seconds, q)), 3) for q in (0.5, 0.95)) if seconds else (0.0, 0.0)
        tokens = sum(answer.completion_tokens for answer in (*self.items, *self.probe))
        return {"p50_s": p50, "p95_s": p95, "wall_s": self.wall_s, "tokens_per_s": tokens / self.wall_s}


@dataclass(frozen=True)
class ModelRun:
    """One model in the evaluation: what it was asked, on which engine, what it predicted, and how that is measured."""

    model: EvaluatedModel
    prompts: PromptSet
    engine: EngineSpec
    predictions: Predictions

    @property
    def name(self) -> str:
        return self.model.name

    @cached_property
    def replies(self) -> list[Reply]:
        """The answers to the items."""
        return _replies(self.predictions.items)

    @cached_property
    def rows(self) -> pl.DataFrame:
        """One measured row an item."""
        return measure(self.prompts.items, self.name, self.replies)

    @cached_property
    def probe_rows(self) -> pl.DataFrame:
        """One measured row a question of the general-knowledge probe."""
        return measure_probe(self.prompts.probe, self.name, _replies(self.predictions.probe))


def predict(
    model: EvaluatedModel, prompt_set: PromptSet, engine: EngineSpec, *, cache: Path, progress: Progress
) -> Predictions:
    """Return the model's answers; cached ones where it answered the same prompts on the same engine before.

    Raises ExternalError where every request failed; an empty answer is no failure.
    """
    prompts, limits = _prompts(model, prompt_set)
    cached = cache / f"{_cache_key(model, engine, prompts, limits)}.json"
    if cached.exists():
        logger.info("the %s has answered these prompts before: its answers are kept", model.name)
        progress.advance(len(prompts), model.name)
        return _predictions(json.loads(cached.read_text(encoding="utf-8")), prompt_set)
    started = time.monotonic()
    answers = EngineProcesses(engine).answer(prompts, limits, lambda _, __: progress.advance(message=model.name))
    if not any(answer.status in REPRODUCIBLE for answer in answers):
        raise ExternalError(
            f"The {engine.engine} engine answered none of {len(prompts)} prompts for the {model.name}: "
            "see the log for what its processes said, and run again."
        )
    record = {"wall_s": time.monotonic() - started, "answers": [asdict(answer) for answer in answers]}
    if all(answer.status in REPRODUCIBLE for answer in answers):
        write_json(cached, record)
        _prune(cache)
    return _predictions(record, prompt_set)


def _prompts(model: EvaluatedModel, prompt_set: PromptSet) -> tuple[list[str], list[int]]:
    """Return the prompts in the model's own chat template, and the longest answer to each."""
    tokenizer = load_tokenizer(model.base.folder)
    chats = [prompt.render([passage.text for passage in item.passages], item.question) for item in prompt_set.items]
    chats += [[{"role": "user", "content": item.question}] for item in prompt_set.probe]
    limits = [prompt_set.max_new_tokens] * len(prompt_set.items) + [prompt_set.probe_tokens] * len(prompt_set.probe)
    return [prompt_text(tokenizer, chat) for chat in chats], limits


def _cache_key(model: EvaluatedModel, engine: EngineSpec, prompts: Sequence[str], limits: Sequence[int]) -> str:
    """Return the digest of all that decides the answers, the engine's version included."""
    version = metadata.version("openvino-genai" if engine.engine == "openvino" else "transformers")
    parts = [model.digest, engine.fixed(), version, list(prompts), list(limits)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _predictions(record: dict[str, Any], prompt_set: PromptSet) -> Predictions:
    answers, num_items = [Answer(**answer) for answer in record["answers"]], len(prompt_set.items)
    return Predictions(answers[:num_items], answers[num_items:], record["wall_s"])


def _replies(answers: Sequence[Answer]) -> list[Reply]:
    return [Reply(a.text, a.prompt_tokens, a.completion_tokens, a.status) for a in answers]


def _prune(cache: Path) -> None:
    files = sorted(cache.glob("*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files[MAX_CACHED_SETS:]:
        file.unlink(missing_ok=True)
