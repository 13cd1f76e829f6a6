"""Real HTTP and the unmodified `openai` client; only the engine is a fake."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest

from tasks.adapters.inference.stream_engine import EngineLostError, PromptRefusedError
from tasks.core.chat import prompt
from tasks.core.records.answer_id import hour_of

QUESTION = "What is the default of indent of json.dumps?"
CHAT: Any = {"model": "ratchet", "messages": [{"role": "user", "content": QUESTION}]}
ANSWER = "The default of indent is None."


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


def test_an_answer_leaves_a_record_that_leads_back_to_everything(start: Any) -> None:
    live = start()
    live.engine.text = "It takes indent and foo_bar."
    completion = live.client().chat.completions.create(**CHAT, max_tokens=9000, temperature=0.5, seed=3)
    (record,) = live.kept.records
    assert (record.answer_id, record.model, record.arm) == (completion.id, "a" * 64, "champion")
    assert (record.prompt_digest, record.index_version, record.engine) == ("p" * 64, "i" * 64, "fake f32")
    assert record.parameters == {"max_tokens": 512, "temperature": 0.5, "top_p": 1.0, "seed": 3, "passages": 2}
    assert record.messages == [{"role": "user", "content": QUESTION}]
    assert (record.answer, record.ungrounded, record.abstained) == (live.engine.text, ["foo_bar"], False)
    assert (record.document_ids, record.retrieval_scores) == (["d1", "d2"], [0.9, 0.4])
    assert (record.status, record.finish_reason, record.cached, record.shadow_of) == ("ok", "stop", False, None)
    assert (record.prompt_tokens, record.completion_tokens) == (20, 5)
    assert record.cpu_s == pytest.approx(0.05)
    assert 0 < record.ttft_s <= record.seconds
    assert record.key_id == live.gateway.keys.find(live.user).id


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


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": [{"role": "user", "content": "  "}]}, "messages", None),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages", None),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages.0.role", "invalid_value"),
        ({"temperature": 3}, "temperature", "invalid_value"),
        ({"temperature": "0"}, "temperature", "invalid_value"),
        ({"n": 2}, "n", "invalid_value"),
        ({"tools": []}, "tools", "unsupported_parameter"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"max_tokens": True}, "max_tokens", "invalid_value"),
        ({"max_tokens": 1.5}, "max_tokens", "invalid_value"),
        ({"seed": -1}, "seed", "invalid_value"),
    ],
)
def test_a_wrong_body_is_refused_with_the_field_at_fault_and_no_value(
    start: Any, change: dict[str, Any], param: str, code: str | None
) -> None:
    live = start()
    reply = live.post({**CHAT, **change})
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert (error["param"], error["code"], error["type"]) == (param, code, "invalid_request_error")
    assert "wizard" not in error["message"]
    assert not live.engine.requests


@pytest.mark.parametrize("body", ["", "{", "[]", "\x00", '{"model": "\\ud800"}', "NaN", "[" * 5000])
def test_a_body_that_is_no_object_is_refused(start: Any, body: str) -> None:
    reply = start().post(body)
    assert reply.status_code == 400
    assert reply.json()["error"]["message"]


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


def test_an_answer_that_takes_too_long_is_a_timeout_and_ends_in_the_engine(start: Any) -> None:
    live = start(timeout_s=0.3)
    live.engine.pause_s = 0.2
    reply = live.post(CHAT)
    assert (reply.status_code, reply.json()["error"]["code"]) == (504, "timeout")
    assert (live.engine.running, live.engine.cancelled) == (0, 1)
    assert live.kept.records[0].status == "timeout"
    assert live.kept.records[0].finish_reason is None
    assert ANSWER.startswith(live.kept.records[0].answer)


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


def test_a_client_that_goes_away_leaves_the_line(start: Any) -> None:
    live = start(concurrency=1, queue=5)
    live.engine.pause_s = 0.1
    with ThreadPoolExecutor() as pool:
        first = pool.submit(live.post, CHAT)
        live.wait(lambda: live.engine.running == 1)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{live.url}/v1/chat/completions",
                json=CHAT,
                headers={"Authorization": f"Bearer {live.user}"},
                timeout=0.2,
            )
        live.wait(lambda: live.gateway.queue.waiting == 0, 2)
        assert first.result().status_code == 200
    assert len(live.engine.requests) == 1


def test_more_than_the_line_holds_are_told_when_to_come_again(start: Any) -> None:
    live = start(concurrency=2, queue=3)
    live.engine.is_held = True
    with ThreadPoolExecutor(20) as pool:
        sent = [pool.submit(live.post, CHAT) for _ in range(20)]
        live.wait(lambda: sum(reply.done() for reply in sent) == 15)
        live.engine.is_held = False
    replies = [reply.result() for reply in sent]
    assert sorted(reply.status_code for reply in replies) == [200] * 5 + [429] * 15
    refused = next(reply for reply in replies if reply.status_code == 429)
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.json()["error"]["code"] == "queue_full"
    assert live.engine.most_running == 2
    assert (live.gateway.queue.running, live.gateway.queue.waiting) == (0, 0)


def test_a_drain_ends_running_answers_and_refuses_new_ones(start: Any) -> None:
    live = start()
    live.engine.pause_s = 0.2
    with ThreadPoolExecutor() as pool, httpx.Client(base_url=live.url) as other:
        assert other.get("/readyz").status_code == 200
        running = pool.submit(live.post, {**CHAT, "stream": True})
        live.wait(lambda: live.engine.running == 1)
        live.drain()
        live.wait(lambda: live.gateway.queue.is_closed)
        refused = other.post("/v1/chat/completions", json=CHAT, headers={"Authorization": f"Bearer {live.user}"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
        assert "retry-after" in refused.headers
        assert live.get("/readyz").status_code == 503
        assert live.get("/healthz").status_code == 200
        assert running.result().text.endswith("data: [DONE]\n\n")
    live.wait(lambda: live.engine.is_closed)


def test_a_swap_under_load_drops_nothing_and_every_id_leads_to_the_model_that_answered(start: Any) -> None:
    live = start(concurrency=8, queue=100)
    live.engine.pause_s = 0.02
    with ThreadPoolExecutor(16) as pool:
        replies = [pool.submit(live.post, CHAT) for _ in range(60)]
        live.wait(lambda: len(live.kept.records) > 8)
        before, _ = live.swap("b" * 64)
        completions = [reply.result() for reply in replies]
    assert {reply.status_code for reply in completions} == {200}
    said = {"a" * 64: ANSWER, "b" * 64: "Another answer."}
    model_of = {record.answer_id: record.model for record in live.kept.records}
    seen = set()
    for reply in completions:
        completion = reply.json()
        model = model_of[completion["id"]]
        seen.add(model)
        assert completion["model"] == f"ratchet-{model[:12]}"
        assert completion["choices"][0]["message"]["content"] == said[model]
    assert seen == set(said)
    live.wait(lambda: live.engine.is_closed)
    assert before.running == 0
    assert live.post({**CHAT, "model": "ratchet-aaaaaaaaaaaa"}).status_code == 404


def test_an_answer_keeps_its_model_alive_to_its_end(start: Any) -> None:
    live = start()
    live.engine.pause_s = 0.1
    with ThreadPoolExecutor() as pool:
        running = pool.submit(live.post, CHAT)
        live.wait(lambda: live.engine.running == 1)
        live.swap("b" * 64)
        assert live.post(CHAT).json()["choices"][0]["message"]["content"] == "Another answer."
        assert not live.engine.is_closed
        assert running.result().json()["choices"][0]["message"]["content"] == ANSWER
    live.wait(lambda: live.engine.is_closed)


def test_a_recorder_that_fails_does_not_fail_the_answer(start: Any) -> None:
    live = start()
    live.kept.error = OSError("disk full")
    assert live.post(CHAT).status_code == 200


def test_the_same_question_is_answered_from_the_cache_where_that_is_on(start: Any) -> None:
    live = start(cache_entries=2)
    first, second = (live.client().chat.completions.create(**CHAT) for _ in range(2))
    assert first.choices[0].message == second.choices[0].message
    assert first.id != second.id
    assert len(live.engine.requests) == 1
    assert "".join(c.choices[0].delta.content or "" for c in live.client().chat.completions.create(**CHAT, stream=True))
    assert [record.cached for record in live.kept.records] == [False, True, True]
    assert live.kept.records[1].ungrounded == live.kept.records[0].ungrounded
    for other in ({"max_tokens": 7}, {"temperature": 0.7}, {"temperature": 0.7}, {"top_p": 0.5}):
        live.client().chat.completions.create(**CHAT, **other)
    assert len(live.engine.requests) == 5
    live.swap("b" * 64)
    assert live.client().chat.completions.create(**CHAT).choices[0].message.content == "Another answer."
    assert 'ratchet_cache_total{model="aaaaaaaaaaaa",result="hit"} 2.0' in live.get("/metrics", live.admin).text


def test_nothing_is_cached_unless_asked_for(start: Any) -> None:
    live = start()
    for _ in range(2):
        live.post(CHAT)
    assert len(live.engine.requests) == 2


def test_a_key_has_its_requests_a_minute_and_its_tokens_a_day(start: Any) -> None:
    live = start()
    slow = live.gateway.keys.create("slow", "user", at="x", requests_per_minute=2)
    poor = live.gateway.keys.create("poor", "user", at="x", tokens_per_day=50)
    assert [live.post(CHAT, slow).status_code for _ in range(3)] == [200, 200, 429]
    replies = [live.post(CHAT, poor) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert replies[2].json()["error"]["type"] == "insufficient_quota"
    assert int(replies[2].headers["retry-after"]) > 0
    assert live.post(CHAT).status_code == 200


def test_the_metrics_count_what_happened_by_model(start: Any) -> None:
    live = start()
    live.post(CHAT)
    live.engine.text = "It calls foo_bar."
    live.post(CHAT)
    live.engine.text = prompt.ABSTENTION
    live.post({**CHAT, "stream": True})
    live.post("{")
    text = live.get("/metrics", live.admin).text
    for line in (
        'ratchet_requests_total{model="aaaaaaaaaaaa",status="200"} 3.0',
        'ratchet_requests_total{model="none",status="400"} 1.0',
        'ratchet_answers_total{model="aaaaaaaaaaaa"} 3.0',
        'ratchet_abstentions_total{model="aaaaaaaaaaaa"} 1.0',
        'ratchet_ungrounded_answers_total{model="aaaaaaaaaaaa"} 1.0',
        'ratchet_tokens_total{kind="prompt",model="aaaaaaaaaaaa"} 60.0',
        'ratchet_answer_seconds_count{model="aaaaaaaaaaaa"} 3.0',
        'ratchet_first_token_seconds_count{model="aaaaaaaaaaaa"} 3.0',
        "ratchet_queue_depth 0.0",
        "ratchet_running 0.0",
    ):
        assert line in text
    assert 'ratchet_cpu_seconds_total{model="aaaaaaaaaaaa"}' in text


def test_a_gateway_whose_engine_starts_anew_is_alive_and_not_ready(start: Any) -> None:
    live = start()
    live.engine.is_ready = False
    assert live.get("/readyz").status_code == 503
    assert live.get("/healthz").status_code == 200
