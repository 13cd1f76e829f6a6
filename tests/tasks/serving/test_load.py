"""Two thousand connections at once against the gateway's own process; only the upstream is a fake, at its socket.

Prints what the gateway itself adds to an answer while they are open: the time that a client sees less the time that the
upstream takes, so search, recording and this test's own client are in it.
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

import pytest

from tasks.adapters.retrieval.embedder import load_embedder
from tasks.adapters.retrieval.index import write_index
from tasks.adapters.system.processes import allow_open_files
from tasks.core.retrieval.passages import cut
from tests.gateway_process import Connection, Served, connect, make_checkout, serving

CONNECTIONS, PLACES, QUEUE = 2000, 256, 1400
CAPACITY = PLACES + QUEUE
PROBES, PROBING = 400, 4
MAX_MB = 400  # of growth; 2,000 requests of a few hundred bytes need a fraction
WORDS = ["The ", "shop ", "is ", "open ", "from ", "9 ", "to ", "17."]


@dataclass
class Upstream:
    """Says the same to everybody; a question that holds "wait" is answered when `go_on` is set."""

    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    seconds: dict[str, float] = field(default_factory=dict)
    """What each probe took here."""
    answered: int = 0
    port: int = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                body = await reader.readexactly(int(length[1]) if length else 0)
                await (self._answer(body, writer) if body else self._models(writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _models(self, writer: asyncio.StreamWriter) -> None:
        said = b'{"data": [{"id": "base"}]}'
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(said) + said
        )
        await writer.drain()

    async def _answer(self, body: bytes, writer: asyncio.StreamWriter) -> None:
        begun = time.perf_counter()
        question = json.loads(body)["messages"][-1]["content"]
        if "wait" in question:
            await self.go_on.wait()
        chunks = [{"choices": [{"delta": {"content": word}}]} for word in WORDS]
        usage = {"prompt_tokens": 100, "completion_tokens": len(WORDS)}
        chunks += [{"choices": [{"delta": {}, "finish_reason": "stop"}]}, {"choices": [], "usage": usage}]
        events = b"".join(b"data: %s\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(events))
        writer.write(events)
        await writer.drain()
        self.answered += 1
        if probe := re.search(r"probe \d+", question):
            self.seconds[probe[0]] = time.perf_counter() - begun


@asynccontextmanager
async def upstream() -> AsyncIterator[Upstream]:
    made = Upstream()
    server = await asyncio.start_server(made.handle, "127.0.0.1", 0, backlog=1024)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


@pytest.fixture
def own_checkout(tmp_path: Path) -> Path:
    """A checkout with an index and no champion; its gateway takes many at once."""
    made = make_checkout(tmp_path, concurrency=PLACES, queue=QUEUE, timeout_s=300)
    index = made / "data" / "index"
    index.mkdir(parents=True)
    passages = cut("d1", "Opening hours", "The shop in Ghent is open from 9 to 17 on weekdays.")
    embedder = load_embedder()
    vectors = embedder.embed([passage.text for passage in passages])
    write_index(index, passages, {"d1": "Hours"}, vectors, embedder=("all-minilm-l6-v2", embedder.digest))
    return made


@pytest.mark.slow
def test_two_thousand_connections_lose_nothing_and_what_is_too_much_is_told_when_to_come_again(
    own_checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if allow_open_files(2 * CONNECTIONS + 1000) < 2 * CONNECTIONS:
        pytest.skip(f"needs {2 * CONNECTIONS} open files: raise the hard limit (ulimit -H -n)")
    report = asyncio.run(flood(own_checkout))
    with capsys.disabled():
        sys.stdout.write(f"\n{report}\n")


async def flood(checkout: Path) -> str:
    """Open all connections, measure over some of them, ask over all of them, and return the report."""
    async with upstream() as fake:
        environment = {"RATCHET_UPSTREAM_URL": f"http://127.0.0.1:{fake.port}/v1", "RATCHET_UPSTREAM_MODEL": "base"}
        starting = serving(checkout, environment)
        served = await asyncio.to_thread(starting.__enter__)
        try:
            return await flooded(fake, served)
        finally:
            await asyncio.to_thread(starting.__exit__, None, None, None)


async def flooded(fake: Upstream, served: Served) -> str:
    process, url, key = served.process, served.url, served.key
    other = await connect(url, key)
    assert (await other.ask("warm up"))[0] == 200
    before = process.memory_info().rss
    connections = [await connect(url, key) for _ in range(CONNECTIONS)]
    added = await overhead(fake, connections[:PROBING])
    sent = [asyncio.create_task(one.ask(f"wait for {n}")) for n, one in enumerate(connections)]
    await come_true(lambda: sum(task.done() for task in sent) == CONNECTIONS - CAPACITY)
    other.writer.close()
    other = await connect(url, key)  # the gateway closes one that was idle for five seconds
    _, _, ready = await other.send("GET", "/readyz")
    facts = json.loads(ready)
    assert (facts["running"], facts["waiting"]) == (PLACES, QUEUE)
    held = process.memory_info().rss
    fake.go_on.set()
    replies = await asyncio.wait_for(asyncio.gather(*sent), 300)
    check_replies(replies)
    peak = process.memory_info().rss
    await counted(url, key, CAPACITY + PROBES + 1)
    for one in (*connections, other):
        one.writer.close()
    await asyncio.gather(*(one.writer.wait_closed() for one in (*connections, other)), return_exceptions=True)
    grown = (max(held, peak) - before) / 1e6
    assert grown < MAX_MB
    cuts = quantiles(added, n=100)
    return (
        f"{CONNECTIONS} connections: {CAPACITY} answered, {CONNECTIONS - CAPACITY} told to come again; "
        f"memory {before / 1e6:.0f} MB and {grown:.0f} MB more at its most\n"
        f"the gateway's own part of an answer, {PROBING} at once: "
        f"median {1e3 * cuts[49]:.1f} ms, p99 {1e3 * cuts[98]:.1f} ms"
    )


async def overhead(fake: Upstream, connections: list[Connection]) -> list[float]:
    """Return, for each probe, the seconds that a client waited beyond what the upstream took."""
    waited: dict[str, float] = {}

    async def ask(one: Connection, numbers: range) -> None:
        for n in numbers:
            begun = time.perf_counter()
            status, _, _ = await one.ask(f"probe {n}")
            assert status == 200
            waited[f"probe {n}"] = time.perf_counter() - begun

    await asyncio.gather(*(ask(one, range(n, PROBES, PROBING)) for n, one in enumerate(connections)))
    assert len(fake.seconds) == PROBES
    return [waited[probe] - fake.seconds[probe] for probe in waited]


def check_replies(replies: list[tuple[int, bytes, bytes]]) -> None:
    """Every connection has its answer, and what was refused says when to come again."""
    assert len(replies) == CONNECTIONS
    whole = [json.loads(body) for status, _, body in replies if status == 200]
    refused = [head for status, head, _ in replies if status == 429]
    assert (len(whole), len(refused)) == (CAPACITY, CONNECTIONS - CAPACITY)
    assert len({reply["id"] for reply in whole}) == CAPACITY
    assert {reply["choices"][0]["message"]["content"] for reply in whole} == {"".join(WORDS)}
    for head in refused:
        wait = re.search(rb"retry-after: (\d+)", head, re.IGNORECASE)
        assert wait is not None
        assert 1 <= int(wait[1]) <= 60


async def counted(url: str, key: str, answers: int) -> None:
    """Wait until the metrics count all answers, and all of them on disk."""
    one, wanted = await connect(url, key), f'ratchet_records_total{{outcome="recorded"}} {answers}.0'
    for _ in range(200):
        _, _, said = await one.send("GET", "/metrics")
        if wanted in (metrics := said.decode()):
            break
        await asyncio.sleep(0.1)
    assert wanted in metrics
    assert f'ratchet_answers_total{{model="base"}} {answers}.0' in metrics
    assert 'ratchet_records_total{outcome="dropped"} 0.0' in metrics
    one.writer.close()
    await one.writer.wait_closed()


async def come_true(condition: Any, timeout_s: float = 120) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it never came about"
        await asyncio.sleep(0.02)
