"""The review queue: its reasons and scores, each question once, the same order for the same records."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.errors import DataError
from tasks.core.feedback.review_queue import MIN_WORD_OVERLAP, ReviewItem, item_for, labelled, review_queue
from tasks.core.records.answer import AnswerRecord
from tasks.core.records.schema import Feedback
from tests.tasks.answers import answer

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
TOPICS = ["refunds", "shipping costs abroad", "the warranty of lamps", "how to return shoes", "invoices for a firm"]


def verdict(answer_id: str, **changes: Any) -> Feedback:
    values: dict[str, Any] = {"model": "m", "question": "Why?", "answer": "So.", "recorded_at": "2026-05-01T00:00:00Z"}
    return Feedback(answer_id=answer_id, **{**values, **changes})


def ids(items: list[ReviewItem]) -> list[str]:
    return [item.answer_id for item in items]


def test_an_ordinary_answer_is_not_worth_a_label() -> None:
    assert review_queue([answer("a", ungrounded=[], abstained=False)], []) == []
    assert review_queue([], []) == []


@pytest.mark.parametrize(
    ("feedback", "reason"),
    [
        ({"thumb": "down"}, "A user says it is wrong."),
        ({"thumb": "down", "reason": "too\n long"}, "A user says it is wrong: too long"),
        ({"correction": "Right."}, "A user proposes another answer."),
        ({"correction": "Right.", "thumb": "down", "reason": "old"}, "A user proposes another answer: old"),
    ],
)
def test_what_users_dislike_comes_with_their_words(feedback: dict[str, str], reason: str) -> None:
    (item,) = review_queue([answer("a"), answer("b", "Other?")], [verdict("a", **feedback)])
    assert item.reasons == (reason,)
    assert item.proposal == feedback.get("correction")


@pytest.mark.parametrize(
    "feedback", [{"thumb": "up"}, {"review": "accepted", "correction": "x"}, {"review": "rejected"}]
)
def test_a_thumb_up_is_no_reason_and_what_is_labelled_is_done(feedback: dict[str, Any]) -> None:
    bad = answer("a", ungrounded=["x", "y", "z"] if feedback.get("review") else [])
    assert review_queue([bad], [verdict("a", **feedback)], drifted={"a"} if feedback.get("review") else ()) == []


def test_a_shadow_that_answers_differently_is_a_reason_and_one_that_agrees_is_none() -> None:
    shown = [answer("a", answer="It takes two days."), answer("b", "And when?", answer="On Monday.")]
    shadows = [
        answer("sa", answer="Never on Sundays", shadow_of="a", model="c" * 64),
        answer("sb", "And when?", answer="on monday", shadow_of="b", model="c" * 64),
    ]
    (item,) = review_queue([*shown, *shadows], [])
    assert item.answer_id == "a"
    assert item.reasons == ("The model cccccccccccc answers differently: the two share 0% of their words.",)
    assert item.score == 3.0


def test_two_models_that_abstain_agree_and_one_that_abstains_alone_does_not() -> None:
    alike = [
        answer("a", answer="I do not know.", abstained=True),
        answer("sa", answer="The context does not contain it.", abstained=True, shadow_of="a", model="c"),
    ]
    assert review_queue(alike, []) == []
    alone = [alike[0], answer("sa", answer="Two days.", abstained=False, shadow_of="a", model="c")]
    assert ids(review_queue(alone, [])) == ["a"]


def test_two_models_that_answered_the_same_question_of_two_users_are_compared() -> None:
    records = [
        answer("a", "How long?", answer="Two days."),
        answer("b", "how  long?", answer="Never again", model="c" * 64, arm="candidate"),
    ]
    (item,) = review_queue(records, [])
    assert (item.answer_id, item.similar) == ("a", 1)
    assert item.reasons[0].startswith("The model cccccccccccc answers differently")


def test_ungrounded_terms_weigh_by_their_number_and_are_named() -> None:
    one, many = answer("a", TOPICS[0], ungrounded=["Bern"]), answer("b", TOPICS[1], ungrounded=list("uvwxyz"))
    first, second = review_queue([one, many], [])
    assert first.reasons == ("Neither documents nor question hold u, v, w, x, y and 1 more.",)
    assert second.reasons == ("Neither documents nor question hold Bern.",)
    assert (first.score, second.score) == (2.0, round(2 / 3, 6))


def test_abstaining_is_a_reason_only_where_retrieval_was_surer_than_for_most_answers() -> None:
    answered = [answer(f"n{i}", f"{i} {i * 7}", abstained=False, retrieval_scores=[i / 20, 0.0]) for i in range(20)]
    sure = answer("sure", "Sure?", abstained=True, retrieval_scores=[0.1, 0.9])
    unsure = answer("unsure", "Unsure?", abstained=True, retrieval_scores=[0.2])
    unmeasured = answer("unmeasured", "Unmeasured?", abstained=True, retrieval_scores=[])
    (item,) = review_queue([*answered, sure, unsure, unmeasured], [])
    assert item.answer_id == "sure"
    assert "retrieval was sure: 0.9, and half of the answered questions have less than 0.475" in item.reasons[0]
    assert review_queue([*answered[1:], sure], []) == [], "nineteen are too few to say what is sure"


def test_a_drifted_topic_is_a_reason_and_reasons_add_up_the_weightiest_first() -> None:
    records = [answer("a", TOPICS[0]), answer("b", TOPICS[1], ungrounded=["x", "y", "z"]), answer("c", TOPICS[2])]
    queue = review_queue(records, [verdict("b", thumb="down")], drifted={"b", "c"})
    assert ids(queue) == ["b", "c"]
    assert [reason[:12] for reason in queue[0].reasons] == ["A user says ", "Its topic ha", "Neither docu"]
    assert queue[0].score == 8.0


def test_near_identical_questions_stand_behind_one() -> None:
    asked = ["What does the refund of a lamp cost?", "what does the refund of a lamp cost", "How are shoes returned?"]
    records = [answer(f"a{i}", question) for i, question in enumerate(asked * 5)]
    queue = review_queue(records, [], drifted={record.answer_id for record in records})
    assert [(item.question, item.similar) for item in queue] == [(asked[0], 9), (asked[2], 4)]


def test_answers_that_nobody_saw_or_that_failed_are_not_in_the_queue() -> None:
    records = [answer("a", shadow_of="x"), answer("b", status="error"), answer("c", status="timeout")]
    assert review_queue(records, [verdict("b", thumb="down")], drifted={"a", "b", "c"}) == []


answers = st.builds(
    answer,
    answer_id=st.integers(0, 10_000).map(str),
    question=st.sampled_from(TOPICS) | st.text(max_size=20),
    answer=st.sampled_from(["Two days.", "Never.", "The context does not say."]),
    model=st.sampled_from(["m", "c"]),
    ungrounded=st.none() | st.lists(st.text(max_size=5), max_size=4),
    abstained=st.none() | st.booleans(),
    shadow_of=st.none() | st.sampled_from(["1", "2"]),
    retrieval_scores=st.lists(st.floats(0, 1), max_size=2),
)


@given(
    st.lists(answers, max_size=12, unique_by=lambda r: r.answer_id),
    st.randoms(use_true_random=False),
    st.integers(1, 5),
)
def test_the_queue_is_the_same_in_whatever_order_records_come(
    records: list[AnswerRecord], random: Any, limit: int
) -> None:
    drifted = {record.answer_id for record in records[::2]}
    queue = review_queue(records, [], drifted=drifted, limit=limit)
    assert queue == review_queue(random.sample(records, len(records)), [], drifted=drifted, limit=limit)
    assert len(queue) <= limit
    assert [item.score for item in queue] == sorted((item.score for item in queue), reverse=True)
    assert all(item.reasons and item.score > 0 for item in queue)
    words = [set(item.question.casefold().split()) for item in queue]
    assert all(one != other or not one for i, one in enumerate(words) for other in words[:i])
    assert 0 < MIN_WORD_OVERLAP < 1


ITEM = item_for(answer("a", "How long?", answer="Two days.", document_ids=["d1"]), [])
PROPOSED = item_for(answer("a", "How long?", answer="Two days."), [verdict("a", correction="Three days.")])


@pytest.mark.parametrize(
    ("item", "label", "kept"),
    [
        (ITEM, "accept", ("Two days.", "up", "accepted")),
        (PROPOSED, "accept", ("Three days.", "down", "accepted")),
        (ITEM, "correct", ("Four days.", "down", "accepted")),
        (PROPOSED, "correct", ("Four days.", "down", "accepted")),
        (ITEM, "reject", (None, "down", "rejected")),
        (PROPOSED, "reject", (None, "down", "rejected")),
    ],
)
def test_a_label_says_which_text_is_right(item: ReviewItem, label: Any, kept: tuple[str, str, str]) -> None:
    feedback = labelled(item, label, AT, correction="Four days.", reason="checked")
    assert (feedback.correction, feedback.thumb, feedback.review) == kept
    assert (feedback.question, feedback.answer, feedback.reason) == ("How long?", "Two days.", "checked")
    assert feedback.recorded_at == "2026-05-01T12:00:00.000000+00:00"


@pytest.mark.parametrize(("item", "label"), [(ITEM, "correct"), (item_for(answer("a", answer=" "), []), "accept")])
def test_a_label_without_a_text_to_learn_is_refused(item: ReviewItem, label: Any) -> None:
    with pytest.raises(DataError, match=f"no text to {label}"):
        labelled(item, label, AT, correction=" ")


def test_one_answer_is_an_item_although_it_is_worth_no_label() -> None:
    assert (ITEM.score, ITEM.reasons, ITEM.document_ids) == (0, (), ("d1",))
    assert PROPOSED.proposal == "Three days."
