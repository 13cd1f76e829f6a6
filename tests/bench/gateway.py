"""The gateway over HTTP: output tokens per CPU-second with 32 at once, and its own processor time a request.

Run `python -m tests.bench.gateway` (some twelve minutes) or with `--quick`. First `ratchet serve` answers generated
questions about the interpreter's documentation from its own index with the embedded engine, 32 connections at once;
everything counts that its processes spend: connections, search, engine, records. The baseline is Hugging Face generate,
one at a time, on the very prompts that the gateway rendered, in bfloat16 as the model is published; float32 stands
beside it. Both get one thread. Answers may be as long as the gateway lets those of a client that names no limit; short
ones, as evaluation limits them, are printed too: with these it is the prompt that costs, and batching gains less. Then
the gateway's own part: the same application with a search that finds at once and an engine that says twenty words at
once, asked by another process, with its recorder and without.
"""

import argparse
import asyncio
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.adapters.inference.stream_engine import GenerationRequest, StreamChunk
from tasks.core.retrieval.passages import Passage
from tasks.serving.config import ServeConfig
from tests.bench.answers import MAX_NEW_TOKENS, PASSAGES, Result, material, measure, rendered
from tests.bench.costs import cpu_seconds_of
from tests.gateway_process import connect, make_checkout, serving

CONNECTIONS, WARM_UP = 32, 32
PROMISED_RATIO, PROMISED_MS = 10.0, 1.5
SERVED_TOKENS = ServeConfig().answer_tokens
REQUESTS = 3000
ANSWER = "The default of indent is None. With 4, json.dumps puts each member of JSONEncoder on a line of its own."
SAID = ANSWER.replace(" ", " |").split("|")
TEXT = (
    "json.dumps(obj, *, skipkeys=False, ensure_ascii=True, indent=None, sort_keys=False) Serialise obj to a JSON str. "
    "If indent is a positive integer such as 4, members of arrays and objects are put on lines of their own; None is "
    "the most compact. To use another JSONEncoder, name it with cls; the separators are then of your own choice."
)
FOUND = [(Passage(f"d-{n}", "d", n, TEXT), 0.5) for n in range(PASSAGES)]


@dataclass(frozen=True)
class Served:
    """What the gateway's processes did for some answers."""

    answers: int
    prompt_tokens: int
    new_tokens: int
    cpu_s: float
    """Of all of them."""
    own_cpu_s: float
    """Without the engine's process."""
    wall_s: float

    @property
    def rate(self) -> float:
        return self.new_tokens / self.cpu_s


def main() -> None:
    """Print the tables; exit with 1 where a promise is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="64 questions instead of 256, of which the peers get 8")
    parser.add_argument("--own", action="store_true", help="only the gateway's own processor time")
    parser.add_argument("--client", nargs=3, metavar=("PORT", "KEY", "STREAM"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.client:
        port, key, stream = arguments.client
        print(asyncio.run(ask_all(int(port), key, stream=stream == "stream")))
        return
    with tempfile.TemporaryDirectory() as folder:
        compared = [] if arguments.own else compare(Path(folder), *((64, 8) if arguments.quick else (256, 16)))
        missed = [*compared, *own_part(Path(folder))]
    sys.exit("; ".join(missed) or None)


def compare(folder: Path, ours: int, peers: int) -> list[str]:
    """Print the gateway beside generate, and return what misses its promise."""
    asked, prompts = prepare(folder / "checkout", ours + WARM_UP)
    (folder / "prompts.json").write_text(json.dumps(prompts[:ours][:: ours // peers]))
    ratios = {}
    for max_answer_tokens in (MAX_NEW_TOKENS, SERVED_TOKENS):
        checkout = shutil.copytree(folder / "checkout", folder / f"checkout-{max_answer_tokens}", symlinks=True)
        result = serve(checkout, asked, ours, max_answer_tokens)
        generate = {name: measure(name, folder / "prompts.json", max_answer_tokens) for name in ("hf bf16", "hf f32")}
        print(f"answers of at most {max_answer_tokens} tokens")
        _print_table(result, generate)
        ratios[max_answer_tokens] = result.rate / generate["hf bf16"].rate
    ratio = ratios[SERVED_TOKENS]
    return [] if ratio >= PROMISED_RATIO else [f"ratio {ratio:.1f} to hf bf16, promised {PROMISED_RATIO:g}"]


def serve(checkout: Path, asked: Sequence[str], ours: int, max_answer_tokens: int) -> Served:
    """Return what a gateway did for the first `ours` questions, after it warmed up with the others."""
    with serving(checkout, {"RATCHET_THREADS": "2"}) as served:
        asyncio.run(answered(served.url, served.key, asked[ours:], max_answer_tokens))
        before, own, begun = cpu_seconds_of(served.process, with_children=True), _own(served.process), time.monotonic()
        usage = asyncio.run(answered(served.url, served.key, asked[:ours], max_answer_tokens))
        wall = time.monotonic() - begun
        spent = cpu_seconds_of(served.process, with_children=True) - before
        return Served(ours, *(sum(u[k] for u in usage) for k in COUNTS), spent, _own(served.process) - own, wall)


COUNTS = ("prompt_tokens", "completion_tokens")


def _own(process: object) -> float:
    return cpu_seconds_of(process, with_children=False)  # type: ignore[arg-type]


def _print_table(ours: Served, generate: dict[str, Result]) -> None:
    print(f"{'':>24}{'answers':>9}{'read':>8}{'new':>7}{'new/CPU-s':>11}{'CPU-s each':>12}{'new/s':>8}")
    rows = [("ratchet serve, 32 at once", ours), *((f"{name}, one at a time", r) for name, r in generate.items())]
    for name, r in rows:
        each = (r.prompt_tokens / r.answers, r.new_tokens / r.answers)
        print(
            f"{name:>24}{r.answers:9}{each[0]:8.0f}{each[1]:7.1f}{r.rate:11.1f}{r.cpu_s / r.answers:12.2f}"
            f"{r.new_tokens / r.wall_s:8.1f}"
        )
    for name, r in generate.items():
        print(f"ratio to {name}: {ours.rate / r.rate:.1f} new tokens per CPU-second")
    share = ours.own_cpu_s / ours.cpu_s
    print(f"of {ours.cpu_s:.1f} CPU-s the engine's process took {1 - share:.1%}; search, HTTP and records the rest")


def prepare(checkout: Path, count: int) -> tuple[list[str], list[str]]:
    """Make a checkout with an index; return questions and, for each, the prompt that its gateway renders."""
    from tasks.adapters.retrieval.embedder import load_embedder
    from tasks.adapters.retrieval.index import Retriever, write_index

    made = material()
    make_checkout(checkout, concurrency=CONNECTIONS)
    index, embedder = checkout / "data" / "index", load_embedder()
    index.mkdir(parents=True)
    passages = sorted(made.passages)
    vectors = embedder.embed([passage.text for passage in passages])
    write_index(index, passages, made.titles, vectors, embedder=("all-minilm-l6-v2", embedder.digest))
    asked = made.questions[:count]
    found = Retriever.open(index).search_scored(asked, PASSAGES)
    shown = [[passage.text for passage, _ in of_one] for of_one in found]
    return asked, rendered(list(zip(asked, shown, strict=True)))


async def answered(url: str, key: str, questions: Sequence[str], max_answer_tokens: int) -> list[dict[str, int]]:
    """Ask all questions over CONNECTIONS connections, each the next one when it has its answer; return the usages."""
    waiting, usage = iter(questions), list[dict[str, int]]()

    async def one() -> None:
        connection = await connect(url, key)
        for question in waiting:
            status, _, body = await connection.ask(question, max_tokens=max_answer_tokens)
            assert status == 200, body
            usage.append(json.loads(body)["usage"])
        connection.writer.close()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    return usage


class Words:
    """An engine that costs next to nothing."""

    name, is_ready = "words", True

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[StreamChunk, None]:
        for number, word in enumerate(SAID, start=1):
            await asyncio.sleep(0)
            yield StreamChunk(word, 200, number, None, "stop" if number == len(SAID) else None)

    async def close(self) -> None:
        """Nothing to free."""


class OneSearch:
    """A search that finds at once."""

    async def find(self, question: str) -> list[tuple[Passage, float]]:
        return FOUND

    def close(self) -> None:
        """Nothing to free."""


class NoRecorder:
    """Keeps nothing."""

    def record(self, answer: object) -> None:
        """Let it go."""


def own_part(folder: Path) -> list[str]:
    """Print the gateway's own CPU-ms a request, and return what misses its promise."""
    from tasks.serving.server import run

    print(f"\nthe gateway's own CPU-ms a request of {len(SAID)} words, {CONNECTIONS} at once")
    worst = 0.0
    for stream in (False, True):
        figures = [run(own_cpu_ms(folder, stream=stream, records=records)) for records in (False, True)]
        print(f"{'streamed' if stream else 'whole':>10}: {figures[0]:.2f}, and {figures[1]:.2f} with its record")
        worst = max(worst, *figures)
    return [] if worst <= PROMISED_MS else [f"{worst:.2f} CPU-ms a request, promised {PROMISED_MS:g}"]


async def own_cpu_ms(folder: Path, *, stream: bool, records: bool) -> float:
    """Return the CPU-ms a request of this process while another one asks."""
    from tasks.adapters.privacy.redactor import make_redactor
    from tasks.adapters.records.record_place import RecordPlace
    from tasks.adapters.storage.object_store import FolderStore
    from tasks.serving.access.keys import KeyRing
    from tasks.serving.access.usage_limits import Budgets
    from tasks.serving.gateway.gateway import Gateway
    from tasks.serving.gateway.served_model import ServedModel
    from tasks.serving.records.recording import Recorder
    from tasks.serving.rollout.rollout_router import RolloutRouter
    from tasks.serving.server import GatewayServer

    home = Path(tempfile.mkdtemp(dir=folder))
    keys = KeyRing(home / "keys.json")
    key = keys.create("bench", "user", at="")
    place = RecordPlace(home / "journal", FolderStore(home / "records"))
    recorder = Recorder(place, make_redactor(b"bench")) if records else None
    model = ServedModel("f" * 64, "p", "i", PASSAGES, {}, OneSearch(), Words())  # type: ignore[arg-type]
    budgets = Budgets(home / "usage.json")
    gateway = Gateway(
        RolloutRouter(model), ServeConfig(), recorder=recorder or NoRecorder(), keys=keys, budgets=budgets
    )
    listener = socket.create_server(("127.0.0.1", 0))
    server = GatewayServer(gateway)
    serving_task = asyncio.create_task(server.serve(sockets=[listener]))
    port, kind = listener.getsockname()[1], "stream" if stream else "whole"
    command = [sys.executable, "-m", "tests.bench.gateway", "--client", str(port), str(key), kind]
    client = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stdin=subprocess.PIPE)
    assert client.stdout is not None
    await client.stdout.readline()  # it has warmed up
    if recorder:
        await asyncio.to_thread(recorder.flush, 60)
    before = time.process_time()
    said, _ = await client.communicate(b"go on\n")
    if recorder:
        await asyncio.to_thread(recorder.flush, 60)
    spent = time.process_time() - before
    server.drain()
    await serving_task
    if recorder:
        assert recorder.close(60)
        assert recorder.counts.recorded == REQUESTS + WARM_UP
    assert int(said) == REQUESTS, f"{said!r} of {REQUESTS} answers"
    return 1000 * spent / REQUESTS


async def ask_all(port: int, key: str, *, stream: bool) -> int:
    """Ask over CONNECTIONS connections and return how many answers were whole; after a warm-up it waits for a line."""
    question = {"model": "ratchet", "stream": stream, "messages": [{"role": "user", "content": "What is it?"}]}
    body = json.dumps(question)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()
    connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)]

    async def one(number: int, count: int) -> int:
        reader, writer = connections[number]
        whole = 0
        for _ in range(count):
            writer.write(request)
            said = await reader.readuntil(b"\r\n\r\n")
            length = [line for line in said.split(b"\r\n") if line.lower().startswith(b"content-length")]
            end = reader.readexactly(int(length[0].split(b":")[1])) if length else reader.readuntil(b"\r\n0\r\n\r\n")
            rest = await end
            whole += said.startswith(b"HTTP/1.1 200") and (b"[DONE]" in rest or b'"finish_reason":"stop"' in rest)
        return whole

    await asyncio.gather(*(one(number, WARM_UP // CONNECTIONS) for number in range(CONNECTIONS)))
    print("warm", flush=True)
    sys.stdin.readline()
    share = [REQUESTS // CONNECTIONS + (number < REQUESTS % CONNECTIONS) for number in range(CONNECTIONS)]
    return sum(await asyncio.gather(*(one(number, count) for number, count in enumerate(share))))


if __name__ == "__main__":
    main()
