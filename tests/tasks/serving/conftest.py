"""A gateway over real HTTP whose engine is a fake: it says what it is told to, as slowly as it is told to."""

import asyncio
import contextlib
import json
import random
import socket
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tasks.adapters.inference.stream_engine import GenerationRequest, StreamChunk
from tasks.adapters.records.feedback_store import read_feedback
from tasks.adapters.records.journal import Journal, line_of, rotate
from tasks.adapters.records.record_place import open_records, start_of_hour
from tasks.adapters.storage.object_store import open_store
from tasks.core.monitoring.drift_verdict import DriftVerdict
from tasks.core.records.answer import AnswerRecord
from tasks.core.records.schema import Feedback
from tasks.core.retrieval.passages import Passage
from tasks.serving.access.keys import KeyRing
from tasks.serving.access.usage_limits import Budgets
from tasks.serving.api.route_group import RouteGroup
from tasks.serving.config import ServeConfig
from tasks.serving.gateway.batched_search import Searcher
from tasks.serving.gateway.gateway import Gateway
from tasks.serving.gateway.router import Arm
from tasks.serving.gateway.served_model import ServedModel
from tasks.serving.records.recording import Recorder, open_recorder
from tasks.serving.rollout.rollout_router import RolloutRouter
from tasks.serving.server import GatewayServer, route_groups, run
from tasks.settings import Settings
from tests.tasks.answers import answer
from tests.tasks.conftest import BAD, GOOD, Loop

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


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Make a gateway and let it listen; it ends with the test."""
    threads: list[tuple[threading.Thread, Live]] = []

    def begin(
        recorder: Any = None, groups: Callable[[Gateway], Sequence[RouteGroup]] | None = None, **values: object
    ) -> Live:
        keys = KeyRing(tmp_path / "keys.json")
        admin, user = keys.create("boss", "admin", at=AT), keys.create("someone", "user", at=AT)
        assert admin is not None
        assert user is not None
        listener = socket.create_server(("127.0.0.1", 0))
        ready = threading.Event()
        made: list[Live] = []

        async def work() -> None:
            engine, kept = FakeEngine(), Kept()
            config = ServeConfig.model_validate({"timeout_s": 20.0, "drain_s": 10.0, **values})
            budgets = Budgets(tmp_path / "usage.json")
            gateway = Gateway(
                RolloutRouter(served(engine)), config, recorder=recorder or kept, keys=keys, budgets=budgets
            )
            server = GatewayServer(gateway, groups(gateway) if groups else ())
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            made.append(Live(gateway, engine, kept, admin, user, url, asyncio.get_running_loop(), server))
            ready.set()
            await server.serve(sockets=[listener])

        thread = threading.Thread(target=lambda: run(work()), daemon=True)
        thread.start()
        assert ready.wait(10)
        threads.append((thread, made[0]))
        return made[0]

    yield begin
    for thread, live in threads:
        for client in live.clients:
            client.close()
        assert live.server is not None
        assert live.loop is not None
        with contextlib.suppress(RuntimeError):  # it has ended already
            live.loop.call_soon_threadsafe(live.server.drain)
        thread.join(15)
        assert not thread.is_alive()


@dataclass
class House:
    """A gateway as `ratchet serve` makes it, its engine aside: recorder, feedback and pages over real files."""

    live: Live
    settings: Settings
    recorder: Recorder

    def ask(self, question: str, text: str = "The default of indent is None.", key: str | None = None) -> str:
        """Let the engine answer a question and return the answer's id."""
        self.live.engine.text = text
        reply = self.live.post({"model": "ratchet", "messages": [{"role": "user", "content": question}]}, key)
        assert reply.status_code == 200
        return str(reply.json()["id"])

    def say(self, body: object, key: str | None = None) -> httpx.Response:
        """Send feedback."""
        headers = {"Authorization": f"Bearer {key or self.live.user}"}
        content = body if isinstance(body, (str, bytes)) else json.dumps(body)
        return httpx.post(f"{self.live.url}/v1/feedback", content=content, headers=headers, timeout=20)

    def kept(self) -> list[Feedback]:
        """Return all feedback there is."""
        return list(read_feedback(open_store(self.settings.feedback_url)))


@pytest.fixture
def checkout(settings: Settings, tmp_path: Path) -> Settings:
    """Settings of a checkout that has a gateway."""
    urls = {name: str(tmp_path / name.removesuffix("_url")) for name in ("records_url", "feedback_url")}
    return settings.model_copy(update=urls)


@pytest.fixture
def house(start: Start, checkout: Settings) -> Iterator[House]:
    recorder = open_recorder(checkout)
    live = start(recorder=recorder, groups=lambda gateway: route_groups(gateway, recorder, checkout))
    live.gateway.metrics.collect_recorder(lambda: recorder.counts)
    yield House(live, checkout, recorder)
    assert recorder.close()


SERVED, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def stocked(house: House, loop: Loop) -> House:
    """A house with a past: two verdicts, a day of answers, feedback, and a monitor run."""
    loop.turn(GOOD)
    loop.turn(BAD, seed=1)
    now = datetime.now(UTC)
    for back in (20, 9, 8, 5, 3, 2, 1):
        write_hour(house.settings, now - timedelta(hours=back), count=30 + 7 * back % 40, seed=back)
    folder = house.settings.home / "monitor" / "run"
    folder.mkdir(parents=True)
    verdict = DriftVerdict(
        outcome="CONFIRMED",
        headline="The traffic has drifted: it asks about something else.",
        reasons=["The questions come from elsewhere: effect 0.21, p 0.002."],
        rows=(1000, 512),
        findings=[],
    )
    (folder / "verdict.json").write_text(verdict.model_dump_json())
    (folder / "drift_report.html").write_text(
        "<!doctype html><title>Drift</title><h1>Drift report</h1><p id=w>no script</p>"
        "<script>document.getElementById('w').textContent = 'drawn by its own script'</script>"
    )
    return house


def write_hour(settings: Settings, hour: datetime, count: int, seed: int) -> None:
    """Write an hour of answers as a gateway that is gone has left it, rotated."""
    rng, place = random.Random(seed), open_records(settings)
    journal = Journal(place.journals, hour)
    for n in range(count):
        at = (start_of_hour(hour) + timedelta(seconds=n)).isoformat()
        made = answer(
            f"past-{seed}-{n}",
            f"What does item {n} of {seed} do?",
            at=at,
            model=SERVED,
            abstained=rng.random() < 0.1,
            ungrounded=["foo_bar"] if rng.random() < 0.08 else [],
            seconds=0.4 + rng.expovariate(1),
            ttft_s=0.1 + rng.random() / 5,
            cpu_s=0.3 + rng.random() / 3,
            completion_tokens=20,
            status="error" if n == 7 and seed == 5 else "ok",
        )
        journal.append(line_of(made))
    journal.close()
    rotate(journal.path, place)
