"""The worker's side is real in the slow tests; the fast ones run a small worker of their own."""

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest

from tasks.adapters.inference.batch_engine import open_engine
from tasks.adapters.inference.batch_types import EngineSpec
from tasks.adapters.inference.stream_engine import EngineLostError, GenerationRequest, PromptRefusedError, StreamChunk
from tasks.adapters.inference.stream_openvino import Batch
from tasks.adapters.inference.stream_process import ProcessEngine
from tasks.adapters.models.base_model import EMBEDDED, load_tokenizer, resolve
from tasks.adapters.models.chat_template import prompt_text
from tasks.adapters.models.gguf_export import merged_gguf
from tasks.settings import Settings

ECHO = """
import json, os, sys
def say(value):
    sys.stdout.write(json.dumps(value) + "\\n"); sys.stdout.flush()
say({"ready": True})
for line in sys.stdin:
    order = json.loads(line)
    if "cancel" in order:
        open(os.environ["ECHO_LOG"], "a").write(f"cancel {order['cancel']}\\n")
        continue
    number, prompt = order["generate"], order["prompt"]
    if prompt == "die":
        os._exit(3)
    if prompt == "long":
        say([[number, "", 9, 0, 0.0, "its 9 tokens do not fit"]])
        continue
    say([[number, prompt, 3, 1, 0.1, ""]])
    if prompt != "endless":
        say([[number, "!", 3, 2, 0.2, "stop"]])
"""


def last_content(messages: object) -> str:
    return str(messages[-1]["content"])  # type: ignore[index]


def request(text: str, max_tokens: int = 8) -> GenerationRequest:
    return GenerationRequest([{"role": "user", "content": text}], max_tokens)


@pytest.fixture
def echo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProcessEngine:
    worker = tmp_path / "worker.py"
    worker.write_text(textwrap.dedent(ECHO))
    monkeypatch.setenv("ECHO_LOG", str(tmp_path / "log"))
    monkeypatch.setattr("tasks.adapters.inference.stream_process.PAUSE_S", (0.01, 0.02))
    spec = EngineSpec("openvino", tmp_path, tmp_path, "f32")
    return ProcessEngine(spec, last_content, [sys.executable, str(worker)])


def run(engine: ProcessEngine, work: Callable[[ProcessEngine], Awaitable[None]]) -> None:
    async def all_of_it() -> None:
        await engine.start()
        try:
            await asyncio.wait_for(work(engine), 60)
        finally:
            await engine.close()

    asyncio.run(all_of_it())


async def collect(engine: ProcessEngine, wanted: GenerationRequest) -> list[StreamChunk]:
    return [chunk async for chunk in engine.stream(wanted)]


def test_an_answer_comes_in_pieces_with_counts_and_a_reason_for_its_end(echo: ProcessEngine) -> None:
    async def work(engine: ProcessEngine) -> None:
        assert engine.is_ready
        assert await collect(engine, request("hello")) == [
            StreamChunk("hello", 3, 1, 0.1),
            StreamChunk("!", 3, 2, 0.2, "stop"),
        ]

    run(echo, work)


def test_many_answers_at_once_do_not_mix(echo: ProcessEngine) -> None:
    async def work(engine: ProcessEngine) -> None:
        answers = await asyncio.gather(*(collect(engine, request(f"question {i}")) for i in range(50)))
        assert [chunks[0].text for chunks in answers] == [f"question {i}" for i in range(50)]

    run(echo, work)


def test_who_stops_reading_cancels_the_work(echo: ProcessEngine, tmp_path: Path) -> None:
    async def work(engine: ProcessEngine) -> None:
        async with aclosing(engine.stream(request("endless"))) as chunks:
            async for _ in chunks:
                break
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(collect(engine, request("endless")), 0.2)
        await collect(engine, request("whole"))

    run(echo, work)
    assert (tmp_path / "log").read_text() == "cancel 1\ncancel 2\n"


def test_a_prompt_that_does_not_fit_is_refused_in_a_sentence(echo: ProcessEngine) -> None:
    async def work(engine: ProcessEngine) -> None:
        with pytest.raises(PromptRefusedError, match="9 tokens do not fit: shorten it"):
            await collect(engine, request("long"))

    run(echo, work)


def test_a_dead_engine_loses_its_answers_and_starts_anew(echo: ProcessEngine) -> None:
    async def work(engine: ProcessEngine) -> None:
        first, lost = engine.pid, asyncio.create_task(collect(engine, request("endless")))
        await asyncio.sleep(0.05)
        with pytest.raises(EngineLostError, match="code 3"):
            await collect(engine, request("die"))
        with pytest.raises(EngineLostError):
            await lost
        assert (await collect(engine, request("again")))[-1].finish_reason == "stop"
        assert engine.pid != first

    run(echo, work)


def test_a_closed_engine_leaves_no_process(echo: ProcessEngine) -> None:
    pids: list[int] = []

    async def work(engine: ProcessEngine) -> None:
        assert engine.pid is not None
        pids.append(engine.pid)

    run(echo, work)
    assert not psutil.pid_exists(pids[0])


def test_an_engine_that_cannot_start_says_so(tmp_path: Path) -> None:
    spec = EngineSpec("openvino", tmp_path, tmp_path, "f32")
    engine = ProcessEngine(spec, last_content, [sys.executable, "-c", "raise SystemExit(7)"])
    with pytest.raises(EngineLostError, match="code 7"):
        asyncio.run(engine.start())


@pytest.fixture(scope="module")
def spec() -> EngineSpec:
    cache = Settings().model_cache
    base = resolve(EMBEDDED, cache)
    return EngineSpec("openvino", merged_gguf(base, None, cache), base.folder, "f32", concurrency=4)


@pytest.mark.slow
def test_the_real_engine_streams_what_evaluation_measures_cancels_and_survives_a_kill(spec: EngineSpec) -> None:
    tokenizer = load_tokenizer(spec.tokenizer)
    questions = ["What is the capital of France?", "Write a line with an emoji of a cat.", "¿Qué es él?"]
    chats = [[{"role": "user", "content": question}] for question in questions]
    prompts = [prompt_text(tokenizer, chat) for chat in chats]
    measured = open_engine(spec).answer(prompts, 24)

    async def work(engine: ProcessEngine) -> None:
        answers = await asyncio.gather(*(collect(engine, GenerationRequest(chat, 24)) for chat in chats))
        for chunks, answer in zip(answers, measured, strict=True):
            assert "".join(chunk.text for chunk in chunks).strip() == answer.text
            assert chunks[-1].prompt_tokens == answer.prompt_tokens
            assert chunks[-1].completion_tokens == answer.completion_tokens
            assert chunks[-1].finish_reason == ("length" if answer.completion_tokens == 24 else "stop")
            assert len(chunks) > 3
            assert chunks[-1].cpu_s is not None
            assert 0 < chunks[-1].cpu_s < 30
        async with aclosing(engine.stream(GenerationRequest(chats[1], 400))) as endless:
            await anext(endless)
        short = await collect(engine, GenerationRequest(chats[0], 3))
        assert short[-1].completion_tokens == 3
        with pytest.raises(PromptRefusedError, match="shorten"):
            await collect(engine, GenerationRequest([{"role": "user", "content": "word " * 60_000}], 4))
        lost = asyncio.create_task(collect(engine, GenerationRequest(chats[1], 400)))
        await asyncio.sleep(0.5)
        assert engine.pid is not None
        os.kill(engine.pid, signal.SIGKILL)
        with pytest.raises(EngineLostError):
            await lost
        assert "Paris" in "".join(chunk.text for chunk in await collect(engine, GenerationRequest(chats[0], 24)))

    run(ProcessEngine(spec, lambda chat: prompt_text(tokenizer, list(chat))), work)


@pytest.mark.slow
def test_a_request_waits_while_another_computes_its_beginning_and_is_answered_as_ever(spec: EngineSpec) -> None:
    shared = "The sky is blue on most days of the year. " * 10
    texts = [shared + "The sky is", shared + "Most days are", "The capital of France is"]
    batch = Batch(spec)
    for number, text in enumerate(texts):
        assert batch.add(number, text, 6, 0.0, 1.0, None) is None
    batch.add(3, texts[0], 6, 0.0, 1.0, None)
    batch.cancel(3)
    steps = [list(batch.step())]
    assert {delta.number for delta in steps[0]} == {0, 2}, "the second has the beginning of the first"
    while batch.is_busy:
        steps.append(list(batch.step()))
    assert 1 in {delta.number for delta in steps[1]}
    said = ["".join(g.text for step in steps for g in step if g.number == number).strip() for number in range(4)]
    engine = open_engine(spec)
    assert said == [*(engine.answer([text], 6)[0].text for text in texts), ""], "the last was cancelled"
