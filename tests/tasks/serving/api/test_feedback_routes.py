"""Feedback over real HTTP, kept in the real store: tied to an answer, capped, and refused in OpenAI's words."""

from typing import Any

import jsonschema
import pytest

from tasks.core.feedback.rules import FeedbackLimits
from tasks.serving.api.feedback_routes import opinion_schema

QUESTION = "What is the default of indent?"


def test_what_a_client_says_is_kept_with_the_answer_it_is_about(house: Any) -> None:
    answer = house.ask(QUESTION)
    reply = house.say({"answer_id": answer, "thumb": "down", "correction": "It is None.", "reason": "wrong"})
    assert reply.status_code == 201
    assert reply.json().keys() == {"answer_id", "model", "review", "recorded_at"}
    (kept,) = house.kept()
    assert (kept.answer_id, kept.question, kept.correction) == (answer, QUESTION, "It is None.")
    assert (kept.thumb, kept.reason, kept.review, kept.model) == ("down", "wrong", "pending", "a" * 64)


@pytest.mark.parametrize(
    "body",
    [
        "{", "", "[]", "null", '{"answer_id": 5, "thumb": "up"}', '{"answer_id": "", "thumb": "up"}', '{"thumb": "up"}',
        '{"answer_id": "a", "thumb": "sideways"}', '{"answer_id": "a"}', '{"answer_id": "a", "correction": " "}',
        '{"answer_id": "a", "thumb": "up", "wizard": 1}', '{"answer_id": "a", "reason": "\\ud800"}', b"\xff",
    ],
)  # fmt: skip
def test_what_says_nothing_is_refused_with_a_sentence(house: Any, body: str) -> None:
    reply = house.say(body)
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert "wizard" not in error["message"]
    assert house.kept() == []


def test_only_a_known_key_may_judge_and_only_its_own_answers(house: Any) -> None:
    answer = house.ask(QUESTION)
    assert house.say({"answer_id": answer, "thumb": "up"}, "rk-000000000000-wrong").status_code == 401
    foreign = house.say({"answer_id": answer, "thumb": "up"}, house.live.admin)
    unknown = house.say({"answer_id": "chatcmpl-2026010100-0", "thumb": "up"})
    assert (foreign.status_code, unknown.status_code) == (404, 404)
    assert foreign.json() == unknown.json()
    assert unknown.json()["error"]["code"] == "answer_not_found"
    assert house.kept() == []


def test_a_key_sends_no_more_corrections_a_day_than_it_may(house: Any) -> None:
    answer = house.ask(QUESTION)
    most = FeedbackLimits().corrections_a_day
    said = {"answer_id": answer, "correction": "None."}
    assert {house.say(said).status_code for _ in range(most)} == {201}
    reply = house.say(said)
    assert (reply.status_code, reply.json()["error"]["code"]) == (429, "feedback_cap")
    assert 0 < int(reply.headers["retry-after"]) <= 86_400
    assert house.say({"answer_id": answer, "thumb": "up"}).status_code == 201
    assert len(house.kept()) == most + 1


def test_feedback_counts_as_a_request_of_its_key(house: Any) -> None:
    slow = house.live.gateway.keys.create("slow", "user", at="x", requests_per_minute=2)
    answer = house.ask(QUESTION, key=slow)
    said = {"answer_id": answer, "thumb": "up"}
    replies = [house.say(said, slow) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [201, 429]
    assert replies[1].json()["error"]["code"] == "rate_limit_exceeded"


def test_a_body_that_is_too_large_is_refused(house: Any) -> None:
    assert house.say({"answer_id": "a", "reason": "x" * 300_000}).status_code == 413


def test_a_store_out_of_reach_is_no_fault_of_the_client(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = house.ask(QUESTION)

    def broken(*_: object) -> None:
        raise OSError(5, "disk gone")

    monkeypatch.setattr("tasks.adapters.storage.object_store.FolderStore.put_if_absent", broken)
    reply = house.say({"answer_id": answer, "thumb": "up"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "store_lost")
    assert "disk gone" not in reply.text
    assert house.live.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("said", "is_valid"),
    [
        ({"answer_id": "a", "thumb": "up"}, True),
        ({"answer_id": "a", "thumb": None, "correction": "x"}, True),
        ({"answer_id": "a", "thumb": None}, False),
        ({"answer_id": "a", "correction": " "}, False),
        ({"answer_id": "a", "reason": "x" * 1001}, False),
        ({"answer_id": "", "thumb": "up"}, False),
        ({"answer_id": "a", "thumb": "up", "more": 1}, False),
    ],
)
def test_the_schema_takes_what_the_rules_take(said: dict[str, Any], is_valid: bool) -> None:
    assert jsonschema.Draft202012Validator(opinion_schema(FeedbackLimits())).is_valid(said) is is_valid


def test_the_metrics_say_what_became_of_the_records(house: Any) -> None:
    house.ask(QUESTION)
    assert house.recorder.flush()
    text = house.live.get("/metrics", house.live.admin).text
    for line in (
        'ratchet_records_total{outcome="recorded"} 1.0',
        'ratchet_records_total{outcome="dropped"} 0.0',
        'ratchet_records_total{outcome="failed"} 0.0',
        "ratchet_records_pending 0.0",
    ):
        assert line in text
