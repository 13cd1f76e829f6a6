"""The interface of a streaming engine: a chat in, its answer out in chunks, many chats at once.

An answer is an asynchronous generator. Whoever stops reading it (`aclose`, or the cancellation of the task that reads)
cancels the work in the engine: nothing is computed for a client that has gone. `stream_process` computes on this
machine, `stream_upstream` asks an OpenAI-compatible server.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from tasks.core.errors import DataError, ExternalError

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class GenerationRequest:
    """A chat to continue, and how. Temperature 0 is greedy: the same chat gets the same answer."""

    messages: Sequence[Mapping[str, str]]
    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None


@dataclass(frozen=True)
class StreamChunk:
    """The next text of an answer, and its counts so far; None is not known (yet). The last one has a finish reason."""

    text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cpu_s: float | None = None
    """Processor time of the answer so far: a step's time is shared among those it computed."""
    finish_reason: FinishReason | None = None


class PromptRefusedError(DataError):
    """The chat does not fit into the engine; the message says what to shorten."""


class EngineLostError(ExternalError):
    """The engine broke while it answered, or cannot be reached: ask again."""


class StreamEngine(Protocol):
    """Answers many chats at once. Belongs to one event loop."""

    @property
    def name(self) -> str:
        """What the records call it."""

    @property
    def is_ready(self) -> bool:
        """Whether an answer could start now."""

    def stream(self, request: GenerationRequest) -> AsyncGenerator[StreamChunk, None]:
        """Yield the answer in chunks. Raises PromptRefusedError or EngineLostError."""

    async def close(self) -> None:
        """End the engine and free what it holds; answers that still run are lost."""
