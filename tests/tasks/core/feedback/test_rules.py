"""Which feedback is refused, and which of several verdicts on an answer is the effective one."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.chat import prompt
from tasks.core.feedback.rules import (
    FeedbackLimits,
    FeedbackRefusedError,
    Opinion,
    check_opinion,
    effective_verdict,
    effective_verdicts,
    feedback_on,
    judged_answer,
    question_of,
    read_opinion,
)
from tasks.core.records.schema import Feedback
from tests.tasks.answers import answer

LIMITS = FeedbackLimits(correction_chars=20, reason_chars=10)
AT = datetime(2026, 5, 1, 12, tzinfo=UTC)


def verdict(day: int = 1, **changes: Any) -> Feedback:
    values: dict[str, Any] = {"answer_id": "a1", "model": "m", "question": "Why?", "answer": "So."}
    return Feedback(**{**values, "recorded_at": f"2026-05-{day:02d}T00:00:00Z", **changes})


@pytest.mark.parametrize(
    "opinion",
    [{"thumb": "up"}, {"thumb": "down", "reason": "too long"}, {"reason": "hm"}, {"correction": "It is json."}],
)
def test_a_thumb_a_reason_or_a_correction_is_enough(opinion: dict[str, str]) -> None:
    check_opinion(read_opinion({"answer_id": "a1", **opinion}), LIMITS)


@pytest.mark.parametrize(
    ("opinion", "sentence"),
    [
        ({}, "says nothing"),
        ({"reason": "  "}, "says nothing"),
        ({"correction": " \n"}, "correction is empty"),
        ({"correction": "x" * 21}, "correction has 21 characters, more than the 20"),
        ({"thumb": "up", "reason": "x" * 11}, "reason has 11 characters, more than the 10"),
        ({"answer_id": "", "thumb": "up"}, "names no answer"),
        ({"answer_id": "x" * 101, "thumb": "up"}, "names no answer"),
    ],
)
def test_what_says_nothing_or_too_much_is_refused_in_one_sentence(opinion: dict[str, Any], sentence: str) -> None:
    with pytest.raises(FeedbackRefusedError, match=sentence) as caught:
        check_opinion(read_opinion({"answer_id": "a1", **opinion}), LIMITS)
    assert caught.value.kind == "invalid_request_error"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"answer_id": "a1", "thumb": "jane.doe@corp.example"}, "thumb: literal_error"),
        ({"thumb": "up"}, "answer_id: missing"),
        ({"answer_id": 7}, "answer_id: string_type"),
        ({"answer_id": "a1", "jane.doe@corp.example": 1}, "a field: extra_forbidden"),
        ({"answer_id": "a1", "question": "a client cannot say what was asked"}, "a field: extra_forbidden"),
        (["jane.doe@corp.example"], "body: model_type"),
        (None, "body: model_type"),
    ],
)
def test_a_body_that_is_no_feedback_names_the_field_and_never_its_value(body: object, field: str) -> None:
    with pytest.raises(FeedbackRefusedError) as caught:
        read_opinion(body)
    assert field in str(caught.value)
    assert "jane" not in str(caught.value)
    assert caught.value.kind == "invalid_request_error"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "found", [None, answer(shadow_of="a0"), answer(key_id="another")], ids=["none", "not shown", "another key's"]
)
def test_an_answer_that_was_not_shown_to_this_key_does_not_exist(found: Any) -> None:
    with pytest.raises(FeedbackRefusedError, match="There is no answer with this id") as caught:
        judged_answer(found, "k1", LIMITS)
    assert caught.value.kind == "not_found_error"


def test_other_keys_answers_may_be_judged_where_that_is_allowed() -> None:
    found = answer(key_id="another")
    assert judged_answer(found, "k1", FeedbackLimits(own_answers_only=False)) is found
    assert judged_answer(answer(key_id=None), "k1", LIMITS).key_id is None


@pytest.mark.parametrize("status", ["error", "timeout", "cancelled"])
def test_what_ended_without_an_answer_cannot_be_judged(status: str) -> None:
    with pytest.raises(FeedbackRefusedError, match="nothing to judge") as caught:
        judged_answer(answer(status=status), "k1", LIMITS)
    assert caught.value.kind == "invalid_request_error"


def test_everything_but_the_opinion_comes_from_the_answers_record() -> None:
    record = answer("a7", "How long?", answer="Two days.", document_ids=["d1", "d2"])
    opinion = Opinion(answer_id="a7", thumb="down", correction="Three days.", reason="changed")
    assert feedback_on(record, opinion, AT) == Feedback(
        answer_id="a7", model="m" * 64, question="How long?", answer="Two days.", correction="Three days.",
        thumb="down", reason="changed", document_ids=["d1", "d2"], review="pending",
        recorded_at="2026-05-01T12:00:00.000000+00:00",
    )  # fmt: skip


@given(st.lists(st.text(), max_size=3), st.text())
def test_the_question_is_found_in_the_prompt_it_was_put_into(passages: list[str], question: str) -> None:
    record = answer(messages=prompt.render(passages, question))
    expected = question.rpartition("\n\nQuestion: ")[2] if "\n\nQuestion: " in question else question
    assert question_of(record) == expected


def test_the_question_is_the_users_last_word() -> None:
    said = [("user", "First?"), ("assistant", "Yes."), ("user", "Second?"), ("assistant", "No.")]
    messages = [{"role": role, "content": content} for role, content in said]
    assert question_of(answer(messages=messages)) == "Second?"
    assert question_of(answer(messages=[{"role": "system", "content": "x"}])) == ""


def test_a_reviewed_verdict_outranks_whatever_clients_say_later() -> None:
    reviewed = verdict(2, review="accepted", correction="Right.")
    later = [verdict(day, correction=f"Poison {day}.") for day in range(3, 9)]
    assert effective_verdict([verdict(1, correction="Mine."), reviewed, *later]) is reviewed
    rejected = verdict(5, review="rejected")
    assert effective_verdict([*later, rejected, reviewed]) is rejected


def test_without_a_review_the_latest_correction_counts_and_a_thumb_does_not_hide_it() -> None:
    corrections = [verdict(1, correction="One."), verdict(2, correction="Two.")]
    assert effective_verdict([*corrections, verdict(3, thumb="up"), verdict(4, correction=" ")]) is corrections[1]
    thumbs = [verdict(1, thumb="down"), verdict(2, thumb="up")]
    assert effective_verdict(thumbs) is thumbs[1]


def test_times_are_compared_as_times_and_of_equal_ones_the_later_read_counts() -> None:
    early = verdict(thumb="up", recorded_at="2026-05-01T10:00:00+02:00")
    late = verdict(thumb="down", recorded_at="2026-05-01T09:00:00")
    assert effective_verdict([late, early]) is late
    same = [verdict(1, thumb="up"), verdict(1, thumb="down")]
    assert effective_verdict(same) is same[1]
    assert effective_verdict([late, verdict(thumb="up", recorded_at="yesterday")]) is late


@given(st.lists(st.tuples(st.integers(1, 28), st.sampled_from(["pending", "accepted", "rejected"]),
                          st.sampled_from([None, "", "Right."])), min_size=1, max_size=8, unique_by=lambda v: v[0]),
       st.randoms(use_true_random=False))  # fmt: skip
def test_which_verdict_counts_does_not_depend_on_the_order_of_reading(verdicts: list[Any], random: Any) -> None:
    given_ = [verdict(day, review=review, correction=text) for day, review, text in verdicts]
    shuffled = random.sample(given_, len(given_))
    assert effective_verdict(given_) == effective_verdict(shuffled)
    assert (effective_verdict(given_).review != "pending") == any(v.review != "pending" for v in given_)


def test_each_answer_has_its_own_verdict() -> None:
    found = effective_verdicts([verdict(answer_id="b"), verdict(answer_id="a"), verdict(2, answer_id="b", thumb="up")])
    assert list(found) == ["b", "a"]
    assert found["b"].thumb == "up"
    assert effective_verdicts([]) == {}
    with pytest.raises(ValueError):
        effective_verdict([])
