"""The `openai` package as it comes: its async client, its typed errors, its own retries."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from tasks.adapters.inference.stream_engine import EngineLostError

CHAT: Any = {"model": "ratchet", "messages": [{"role": "user", "content": "What is the default of indent?"}]}
ANSWER = "The default of indent is None."


def test_the_async_client_chats_and_streams_many_at_once(start: Any) -> None:
    live = start()

    async def talk() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{live.url}/v1", api_key=live.user, max_retries=0) as client:

            async def whole() -> str:
                completion = await client.chat.completions.create(**CHAT)
                return completion.choices[0].message.content or ""

            async def streamed() -> str:
                stream = await client.chat.completions.create(**CHAT, stream=True)
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

            return await asyncio.gather(*(work() for _ in range(8) for work in (whole, streamed)))

    assert asyncio.run(talk()) == [ANSWER] * 16


def test_the_stream_helper_puts_the_answer_together_with_its_usage(start: Any) -> None:
    options: Any = {"stream_options": {"include_usage": True}}
    with start().client().chat.completions.stream(**CHAT, **options) as stream:
        completion = stream.get_final_completion()
    assert completion.choices[0].message.content == ANSWER
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.total_tokens == 27


def test_each_refusal_is_the_clients_error_of_that_name(start: Any) -> None:
    live = start()
    poor = live.gateway.keys.create("poor", "user", at="x", tokens_per_day=1)
    live.client(poor).chat.completions.create(**CHAT)

    def error(kind: type[openai.APIStatusError], key: str | None = None, **changes: Any) -> openai.APIStatusError:
        with pytest.raises(kind) as caught:
            live.client(key).chat.completions.create(**{**CHAT, **changes})
        return caught.value

    assert error(openai.BadRequestError, temperature=9).param == "temperature"
    assert error(openai.BadRequestError, tools=[]).code == "unsupported_parameter"
    assert error(openai.AuthenticationError, "rk-000000000000-wrong").code == "invalid_api_key"
    assert error(openai.NotFoundError, model="gpt-4").code == "model_not_found"
    spent = error(openai.RateLimitError, poor)
    assert spent.code == "insufficient_quota"
    assert int(spent.response.headers["retry-after"]) > 0
    live.engine.error = EngineLostError("The engine ended: try again.")
    lost = error(openai.InternalServerError)
    assert (lost.status_code, lost.code) == (503, "engine_lost")


def test_a_client_that_may_retry_comes_again_when_it_was_told_to(start: Any) -> None:
    live = start(concurrency=1, queue=0)
    live.engine.is_held = True
    with ThreadPoolExecutor() as pool, openai.OpenAI(base_url=f"{live.url}/v1", api_key=live.user) as client:
        first = pool.submit(live.client().chat.completions.create, **CHAT)
        live.wait(lambda: live.engine.running == 1)
        begun = time.monotonic()
        second = pool.submit(client.chat.completions.create, **CHAT)
        live.wait(lambda: 'status="429"' in live.get("/metrics", live.admin).text)
        live.engine.is_held = False
        assert first.result().choices[0].message.content == ANSWER
        assert second.result().choices[0].message.content == ANSWER
        assert time.monotonic() - begun >= 1


def test_feedback_goes_through_the_client_too(house: Any) -> None:
    client = house.live.client()
    answer = client.chat.completions.create(**CHAT).id
    said = {"answer_id": answer, "thumb": "up"}
    assert client.post("/feedback", body=said, cast_to=object)["review"] == "pending"
    with pytest.raises(openai.NotFoundError) as caught:
        client.post("/feedback", body={**said, "answer_id": "nothing"}, cast_to=object)
    assert caught.value.code == "answer_not_found"
