"""What drift watches of an answer: one row, from its record or from an evaluation. Pure.

Quality is 1 for an answer that is complete, grounded and given, 0 for any other; what people said about it overrides
that. It needs no reference, so that an answer of the evaluation and one of last night are measured alike. What is not
known is missing. Caveat: a question that ought to be declined counts as badly answered on both sides; what is compared
is their shares.
"""

from typing import TypedDict

from tasks.core.answer_record import AnswerRecord
from tasks.core.feedback_rules import question_of
from tasks.core.measurements import OK, Item, Reply
from tasks.core.records import Feedback


class TrafficRow(TypedDict):
    """A row of a window or a reference, the embedding of its question aside."""

    answer_id: str
    at: str
    key_id: str | None
    question: str
    answer: str
    question_length: int
    retrieval_score: float | None
    """Likeness of the best document found."""
    answer_length: int | None
    abstained: bool | None
    ungrounded: bool | None
    quality: bool | None
    latency_s: float | None
    cost: float | None
    """Processor seconds."""


def is_watched(answer: AnswerRecord) -> bool:
    """Return whether an answer tells about the model: it was shown, computed, and not abandoned by who asked."""
    return answer.shadow_of is None and not answer.cached and answer.status != "cancelled"


def row_of(answer: AnswerRecord, feedback: Feedback | None) -> TrafficRow:
    """Return the row of a served answer. A request that failed has no answer, and its quality is 0."""
    question, is_whole = question_of(answer), answer.status == "ok"
    is_ungrounded = None if answer.ungrounded is None else bool(answer.ungrounded)
    said = opinion(feedback)
    is_complete = is_whole and answer.finish_reason in (None, "stop")
    return TrafficRow(
        answer_id=answer.answer_id,
        at=answer.at,
        key_id=answer.key_id,
        question=question,
        answer=answer.answer if is_whole else "",
        question_length=len(question),
        retrieval_score=max(answer.retrieval_scores, default=None),
        answer_length=len(answer.answer) if is_whole else None,
        abstained=answer.abstained if is_whole else None,
        ungrounded=is_ungrounded if is_whole else None,
        quality=is_good(is_complete, answer.abstained, is_ungrounded) if said is None else said,
        latency_s=answer.seconds if is_whole else None,
        cost=answer.cpu_s if is_whole else None,
    )


def exam_row(
    item: Item,
    reply: Reply,
    *,
    retrieval: float | None,
    abstained: bool | None,
    ungrounded: bool | None,
    most_tokens: int,
) -> TrafficRow:
    """Return the row of an answer of the evaluation, which knows no time and no cost of serving.

    `most_tokens`: length at which it was cut off.
    """
    is_whole = reply.status == OK
    return TrafficRow(
        answer_id=item.id,
        at="",
        key_id=None,
        question=item.question,
        answer=reply.text if is_whole else "",
        question_length=len(item.question),
        retrieval_score=None if retrieval is None else round(retrieval, 4),
        answer_length=len(reply.text) if is_whole else None,
        abstained=abstained,
        ungrounded=ungrounded,
        quality=is_good(is_whole and reply.completion_tokens < most_tokens, abstained, ungrounded),
        latency_s=None,
        cost=None,
    )


def is_good(is_complete: bool, abstained: bool | None, ungrounded: bool | None) -> bool | None:
    """Return the quality of an answer; None where nothing speaks against it but not all was looked at."""
    if not is_complete or abstained or ungrounded:
        return False
    return None if abstained is None or ungrounded is None else True


def opinion(feedback: Feedback | None) -> bool | None:
    """Return what people said about an answer: good, bad, or nothing that tells."""
    if feedback is None:
        return None
    if feedback.thumb is not None:
        return feedback.thumb == "up"
    return False if (feedback.correction or "").strip() else None
