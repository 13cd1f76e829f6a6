"""Real HTTP and the unmodified `openai` client; only the engine is a fake."""

import json
import socket
from typing import Any

import openai
import pytest

from tasks.adapters.inference.stream_engine import EngineLostError, PromptRefusedError
from tasks.core.chat import prompt
from tasks.core.records.answer_id import hour_of
from tests.tasks.serving.api.conftest import ANSWER, CHAT, QUESTION


def test_the_openai_client_gets_an_answer_with_counts_citations_and_the_models_version(start: Any) -> None:
    live = start()
    completion = live.client().chat.completions.create(**CHAT)
    message = completion.choices[0].message
    assert message.content == ANSWER
    assert completion.choices[0].finish_reason == "stop"
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (20, 7)
    assert completion.usage.total_tokens == 27
    assert [citation["document_id"] for citation in message.citations] == ["d1", "d2"]
    assert message.citations[0]["title"] == "json.dumps"
    assert message.abstained is False
    assert hour_of(completion.id) is not None
    assert completion.model == completion.system_fingerprint == "ratchet-aaaaaaaaaaaa"


def test_the_model_is_asked_by_the_template_it_was_trained_with_greedily(start: Any) -> None:
    live = start()
    turns = [
        {"role": "system", "content": "You are a pirate."},
        {"role": "user", "content": "Earlier?"},
        {"role": "assistant", "content": "Yes.", "citations": [], "abstained": False},
        {"role": "user", "content": [{"type": "text", "text": f" {QUESTION} "}]},
    ]
    live.client().chat.completions.create(model="ratchet", messages=turns)  # type: ignore[arg-type]
    (request,) = live.engine.requests
    context = ["json.dumps(obj, indent=None)\nSerialise an object.", "json.loads\nRead an object."]
    assert list(request.messages) == prompt.render(context, QUESTION)
    assert (request.temperature, request.top_p, request.seed, request.max_tokens) == (0.0, 1.0, None, 128)


def test_the_openai_client_streams_the_same_answer(start: Any) -> None:
    live = start()
    stream = live.client().chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == ANSWER
    assert deltas[0].role == "assistant"
    assert len(deltas) > 4
    assert [citation["document_id"] for citation in deltas[-1].citations] == ["d1", "d2"]
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage.total_tokens == 27
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert live.kept.records[0].answer_id == chunks[0].id


def test_an_abstention_is_flagged_and_cites_nothing(start: Any) -> None:
    live = start()
    live.engine.text = prompt.ABSTENTION
    message = live.client().chat.completions.create(**CHAT).choices[0].message
    assert message.abstained is True
    assert message.citations == []
    assert live.kept.records[0].document_ids == ["d1", "d2"]


def test_an_answer_that_was_cut_off_says_so(start: Any) -> None:
    live = start()
    live.engine.finish = "length"
    assert live.client().chat.completions.create(**CHAT).choices[0].finish_reason == "length"


def test_models_are_listed_and_can_be_asked_for_by_version(start: Any) -> None:
    live = start()
    client = live.client()
    assert [model.id for model in client.models.list()] == ["ratchet", "ratchet-aaaaaaaaaaaa"]
    assert client.models.retrieve("ratchet").owned_by == "ratchet"
    assert client.chat.completions.create(**{**CHAT, "model": "ratchet-aaaaaaaaaaaa"}).choices
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(**{**CHAT, "model": "gpt-4"})
    assert (caught.value.code, caught.value.param, caught.value.type) == ("model_not_found", "model", "not_found_error")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4")


def test_a_body_that_is_too_large_is_refused(start: Any) -> None:
    live = start(request_bytes=2000)
    assert live.post({**CHAT, "user": "x" * 3000}).status_code == 413
    assert live.post(CHAT).status_code == 200


def test_requests_without_a_valid_key_are_refused(start: Any) -> None:
    live = start()
    with pytest.raises(openai.AuthenticationError) as caught:
        live.client("rk-000000000000-wrong").chat.completions.create(**CHAT)
    assert caught.value.code == "invalid_api_key"
    for path in ("/v1/models", "/v1/models/ratchet", "/metrics"):
        assert live.get(path).status_code == 401
    assert live.get("/metrics", live.user).status_code == 403
    assert not live.engine.requests


def test_unknown_addresses_and_methods_get_openais_error_bodies(start: Any) -> None:
    live = start()
    assert live.get("/v1/nothing").json()["error"]["type"] == "not_found_error"
    reply = live.get("/v1/chat/completions", live.user)
    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")
    assert reply.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (PromptRefusedError("Its 9000 tokens do not fit: shorten it."), 400, "context_length_exceeded"),
        (EngineLostError("The engine ended with code 9: try again."), 503, "engine_lost"),
        (ValueError("a text of the prompt"), 500, "internal_error"),
    ],
)
def test_an_engines_error_has_a_status_before_the_first_text_and_is_an_event_after_it(
    start: Any, error: Exception, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    live = start()
    live.engine.error = error
    reply = live.post(CHAT)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    assert "a text of the prompt" not in reply.text
    live.engine.text = "two words"
    with pytest.raises(openai.APIError) as caught:
        list(live.client().chat.completions.create(**CHAT, stream=True))
    assert caught.value.code == code
    assert [record.status for record in live.kept.records] == ["error", "error"]
    live.engine.error = None
    assert live.post(CHAT).status_code == 200
    assert "a text of the prompt" not in caplog.text


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_cancels_the_work(start: Any, stream: bool) -> None:
    live = start()
    live.engine.pause_s = 0.5
    body = json.dumps({**CHAT, "stream": stream}).encode()
    host, port = live.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {live.user}\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        live.wait(lambda: live.engine.running == 1)
    live.wait(lambda: live.engine.running == 0, 2)
    live.wait(lambda: bool(live.kept.records))
    assert live.engine.cancelled == 1
    assert live.kept.records[0].status == "cancelled"
    assert live.gateway.queue.running == 0
    assert 'ratchet_requests_total{model="aaaaaaaaaaaa",status="499"} 1.0' in live.get("/metrics", live.admin).text


def test_a_gateway_whose_engine_starts_anew_is_alive_and_not_ready(start: Any) -> None:
    live = start()
    live.engine.is_ready = False
    assert live.get("/readyz").status_code == 503
    assert live.get("/healthz").status_code == 200
