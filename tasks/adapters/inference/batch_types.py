"""Types of the batch engines: their settings, their answers, and the interface that all of them have."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Status = Literal["ok", "empty", "timeout", "error"]
EngineName = Literal["openvino", "transformers"]
Precision = Literal["f32", "bf16"]


@dataclass(frozen=True)
class Answer:
    """One answer and what it cost. `seconds` run from the request's admission to its end."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    status: Status
    seconds: float = 0.0


OnAnswer = Callable[[int, Answer], None]
Limits = int | Sequence[int]
"""The largest number of tokens of an answer: one for all prompts, or one for each."""


@dataclass(frozen=True)
class EngineSpec:
    """Which model answers, and how. `weights` is a GGUF file or a model folder, `tokenizer` a model folder."""

    engine: EngineName
    weights: Path
    tokenizer: Path
    precision: Precision
    threads: int = 1
    """In all; an engine of one process uses them together."""
    processes: int = 1
    """How many processes `EngineProcesses` shares the prompts among, whatever the number of threads."""
    concurrency: int = 32
    """Requests that are computed together."""
    timeout_s: float = 600.0
    """Of one request, from its admission."""
    cache_gb: int = 1
    """Memory for the keys and values of the requests, the openvino engine only."""

    def fixed(self) -> dict[str, object]:
        """Return what decides the answers, whatever the machine."""
        names = ("engine", "precision", "processes", "concurrency", "cache_gb")
        return {name: getattr(self, name) for name in names}


class Engine(Protocol):
    """Answers many prompts at once, and returns the answers in the order of the prompts."""

    def answer(self, prompts: Sequence[str], max_new_tokens: Limits, on_done: OnAnswer | None = None) -> list[Answer]:
        """Answer `prompts`, which have their chat template already; `on_done` hears of each answer at once."""


def limits_of(max_new_tokens: Limits, prompts: Sequence[str]) -> list[int]:
    """Return the limit of each prompt."""
    return [max_new_tokens] * len(prompts) if isinstance(max_new_tokens, int) else list(max_new_tokens)


def finished(text: str, prompt_tokens: int, completion_tokens: int, seconds: float) -> Answer:
    """Return a completed request as an answer: a model that said nothing has not answered."""
    stripped = text.strip()
    return Answer(stripped, prompt_tokens, completion_tokens, "ok" if stripped else "empty", seconds)


def failed(status: Status, prompt_tokens: int = 0, seconds: float = 0.0) -> Answer:
    """Return a request that was not completed."""
    return Answer("", prompt_tokens, 0, status, seconds)
