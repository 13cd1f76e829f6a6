"""From arrival to record, over real HTTP; only the engine is a fake."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.tasks.serving.api.conftest import ANSWER, CHAT, QUESTION


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


def test_an_answer_that_takes_too_long_is_a_timeout_and_ends_in_the_engine(start: Any) -> None:
    live = start(timeout_s=0.3)
    live.engine.pause_s = 0.2
    reply = live.post(CHAT)
    assert (reply.status_code, reply.json()["error"]["code"]) == (504, "timeout")
    assert (live.engine.running, live.engine.cancelled) == (0, 1)
    assert live.kept.records[0].status == "timeout"
    assert live.kept.records[0].finish_reason is None
    assert ANSWER.startswith(live.kept.records[0].answer)


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
