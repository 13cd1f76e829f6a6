"""A gateway over a fake engine and index, served for real on a port of its own."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import openai

from tasks.adapters.inference.stream_engine import GenerationRequest, StreamChunk
from tasks.core.records.answer import AnswerRecord
from tasks.core.retrieval.passages import Passage
from tasks.serving.gateway.batched_search import Searcher
from tasks.serving.gateway.gateway import Gateway
from tasks.serving.gateway.router import Arm
from tasks.serving.gateway.served_model import ServedModel
from tasks.serving.rollout.rollout_router import RolloutRouter
from tasks.serving.server import GatewayServer

AT = "2026-01-01T00:00:00+00:00"


PASSAGES = [
    (Passage("d1-0000", "d1", 0, "json.dumps(obj, indent=None)\nSerialise an object."), 0.9),
    (Passage("d2-0001", "d2", 1, "json.loads\nRead an object."), 0.4),
]


class FakeIndex:
    """Finds the same passages for every question."""

    def search_scored(self, questions: Sequence[str], k: int) -> list[list[tuple[Passage, float]]]:
        return [PASSAGES[:k] for _ in questions]


@dataclass
class FakeEngine:
    """Says `text`, a word a piece; keeps what it was asked, and how many answers were cut short."""

    text: str = " The default of indent is None.\n"
    pause_s: float = 0.0
    error: Exception | None = None
    is_ready: bool = True
    is_held: bool = False
    finish: str = "stop"
    requests: list[GenerationRequest] = field(default_factory=list)
    running: int = 0
    most_running: int = 0
    cancelled: int = 0
    is_closed: bool = False
    name: str = "fake f32"

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[StreamChunk, None]:
        self.requests.append(request)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        words, is_whole = self.text.split(" "), False
        try:
            for number, word in enumerate(words, start=1):
                await asyncio.sleep(self.pause_s)
                while self.is_held:
                    await asyncio.sleep(0.01)
                if self.error and number > 1:
                    raise self.error
                is_last = number == len(words)
                yield StreamChunk(
                    word if is_last else word + " ", 20, number, 0.01 * number, self.finish if is_last else None
                )  # type: ignore[arg-type]
            is_whole = True
        finally:
            self.running -= 1
            self.cancelled += not is_whole

    async def close(self) -> None:
        self.is_closed = True


@dataclass
class Kept:
    """A recorder that remembers."""

    records: list[AnswerRecord] = field(default_factory=list)
    error: Exception | None = None

    def record(self, answer: AnswerRecord) -> None:
        if self.error:
            raise self.error
        self.records.append(answer)


def served(engine: FakeEngine, digest: str = "a" * 64) -> ServedModel:
    """Return a model that answers by `engine`."""
    return ServedModel(
        digest=digest,
        prompt_digest="p" * 64,
        index_version="i" * 64,
        passages=2,
        titles={"d1": "json.dumps", "d2": "json.loads"},
        search=Searcher(FakeIndex(), 2),
        engine=engine,
    )


@dataclass
class Live:
    """A gateway that listens, in a thread of its own."""

    gateway: Gateway
    engine: FakeEngine
    kept: Kept
    admin: str
    user: str
    url: str = ""
    loop: asyncio.AbstractEventLoop | None = None
    server: GatewayServer | None = None
    clients: list[openai.OpenAI] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def router(self) -> RolloutRouter:
        assert isinstance(self.gateway.router, RolloutRouter)
        return self.gateway.router

    def post(self, body: object, key: str | None = None, **options: Any) -> httpx.Response:
        """Send a chat request with the user's key."""
        headers = {"Authorization": f"Bearer {key or self.user}"}
        content = body if isinstance(body, (str, bytes)) else json.dumps(body)
        return httpx.post(f"{self.url}/v1/chat/completions", content=content, headers=headers, timeout=20, **options)

    def get(self, path: str, key: str | None = None) -> httpx.Response:
        """Read an address, with a key or without."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.get(self.url + path, headers=headers, timeout=20)

    def client(self, key: str | None = None) -> openai.OpenAI:
        """Return the client that everyone uses, as it comes."""
        made = openai.OpenAI(base_url=f"{self.url}/v1", api_key=key or self.user, max_retries=0)
        self.clients.append(made)
        return made

    def in_loop(self, function: Callable[[], Any]) -> Any:
        """Call a function in the gateway's loop."""

        async def call() -> Any:
            return function()

        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(10)

    def swap(self, digest: str, text: str = "Another answer.") -> tuple[Arm, FakeEngine]:
        """Serve another model and return the arm before it, on its way out, and the new engine."""
        engine = FakeEngine(text)

        def change() -> Arm:
            self.router.swap(served(engine, digest))
            before = self.router.drop_warm()
            assert before is not None
            self.tasks.append(asyncio.create_task(before.retire()))
            return before

        return self.in_loop(change), engine

    def drain(self) -> None:
        """Begin what SIGTERM begins."""
        assert self.server is not None
        assert self.loop is not None
        self.loop.call_soon_threadsafe(self.server.drain)

    def wait(self, condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """Return as soon as the condition holds."""
        end = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end, "it never came about"
            time.sleep(0.01)


Start = Callable[..., Live]


SERVED, OTHER = "a" * 64, "b" * 64
