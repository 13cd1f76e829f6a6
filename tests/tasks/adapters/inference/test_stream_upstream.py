"""Against a real HTTP server on loopback that behaves as vLLM's API does."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from tasks.adapters.inference.stream_engine import EngineLostError, GenerationRequest, PromptRefusedError, StreamChunk
from tasks.adapters.inference.stream_upstream import Upstream, UpstreamEngine
from tasks.core.errors import ConfigError
from tests.tasks.adapters.inference.conftest import VllmStub

REQUEST = GenerationRequest([{"role": "user", "content": "hello"}], 8, seed=3)


def run(upstream: Upstream, work: Callable[[UpstreamEngine], Awaitable[None]]) -> None:
    async def all_of_it() -> None:
        engine = UpstreamEngine(upstream)
        try:
            await engine.start()
            await asyncio.wait_for(work(engine), 30)
        finally:
            await engine.close()

    asyncio.run(all_of_it())


async def collect(engine: UpstreamEngine) -> list[StreamChunk]:
    return [chunk async for chunk in engine.stream(REQUEST)]


def test_an_answer_comes_in_pieces_and_its_counts_last(stub: VllmStub) -> None:
    async def work(engine: UpstreamEngine) -> None:
        assert await collect(engine) == [StreamChunk("Hel"), StreamChunk("lo"), StreamChunk("", 5, 2, None, "length")]
        assert engine.is_ready

    run(Upstream(stub.url, "base"), work)
    assert stub.bodies[0]["messages"] == [{"role": "user", "content": "hello"}]
    assert (stub.bodies[0]["temperature"], stub.bodies[0]["seed"], stub.bodies[0]["max_tokens"]) == (0.0, 3, 8)


def test_a_connection_that_was_closed_while_idle_is_no_error(stub: VllmStub) -> None:
    stub.fault = "closed while idle"

    async def work(engine: UpstreamEngine) -> None:
        assert await collect(engine) == await collect(engine)

    run(Upstream(stub.url, "base"), work)
    assert len(stub.bodies) == 3


def test_an_answer_that_breaks_off_is_lost_and_not_asked_again(stub: VllmStub) -> None:
    stub.fault = "breaks off"

    async def work(engine: UpstreamEngine) -> None:
        with pytest.raises(EngineLostError, match="lost"):
            await collect(engine)
        assert not engine.is_ready

    run(Upstream(stub.url, "base"), work)
    assert len(stub.bodies) == 1


@pytest.mark.parametrize(("fault", "error"), [("400", PromptRefusedError), ("503", EngineLostError)])
def test_a_refusal_is_a_sentence_without_the_upstreams_words(
    stub: VllmStub, fault: str, error: type[Exception]
) -> None:
    stub.fault = fault

    async def work(engine: UpstreamEngine) -> None:
        with pytest.raises(error) as caught:
            await collect(engine)
        assert fault in str(caught.value)
        assert "secret" not in str(caught.value)

    run(Upstream(stub.url, "base"), work)


def test_who_stops_reading_ends_the_work_upstream(stub: VllmStub) -> None:
    stub.fault = "endless"

    async def work(engine: UpstreamEngine) -> None:
        async with aclosing(engine.stream(REQUEST)) as chunks:
            await anext(chunks)
        assert await asyncio.to_thread(stub.hung_up.wait, 10)

    run(Upstream(stub.url, "base"), work)


def test_an_adapter_is_loaded_at_the_start_and_unloaded_at_the_end(stub: VllmStub, tmp_path: Path) -> None:
    async def work(engine: UpstreamEngine) -> None:
        assert stub.models == ["base", "version-1"]
        await collect(engine)

    async def twice(engine: UpstreamEngine) -> None:
        await work(engine)
        await engine.close()

    run(Upstream(stub.url, "version-1", adapter=tmp_path), twice)
    assert stub.models == ["base"]
    assert stub.bodies[0]["model"] == "version-1"


def test_an_adapter_that_is_loaded_already_is_no_error(stub: VllmStub, tmp_path: Path) -> None:
    stub.models.append("version-1")

    async def work(engine: UpstreamEngine) -> None:
        assert await collect(engine)

    run(Upstream(stub.url, "version-1", adapter=tmp_path), work)


def test_an_upstream_without_loras_or_the_model_is_told_apart_from_one_that_is_away(
    stub: VllmStub, tmp_path: Path
) -> None:
    async def work(_: UpstreamEngine) -> None:
        pytest.fail("it must not start")

    with pytest.raises(ConfigError, match="has no model 'other' but base"):
        run(Upstream(stub.url, "other"), work)
    stub.fault = "no lora"
    with pytest.raises(ConfigError, match="--enable-lora"):
        run(Upstream(stub.url, "version-1", adapter=tmp_path), work)
    with pytest.raises(EngineLostError, match="ConnectError"):
        run(Upstream("http://127.0.0.1:9/v1", "base"), work)
