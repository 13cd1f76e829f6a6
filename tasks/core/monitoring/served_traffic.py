"""Traffic rows of served answers: the columns for the drift tests, from an answer's record and the feedback on it.

Feedback overrides the computed quality. Pure. Caveat: a failed request counts as a bad answer, whatever caused it.
"""

from tasks.core.feedback.rules import question_of
from tasks.core.monitoring.traffic_row import TrafficRow, is_good
from tasks.core.records.answer import AnswerRecord
from tasks.core.records.schema import Feedback


def counts_as_traffic(answer: AnswerRecord) -> bool:
    """Return whether an answer tells about the model: it was shown, computed, and not abandoned by who asked."""
    return answer.shadow_of is None and not answer.cached and answer.status != "cancelled"


def row_of(answer: AnswerRecord, feedback: Feedback | None) -> TrafficRow:
    """Return the row of a served answer. A failed request has no answer, and its quality is 0."""
    question, is_whole = question_of(answer), answer.status == "ok"
    is_ungrounded = None if answer.ungrounded is None else bool(answer.ungrounded)
    said = quality_from_feedback(feedback)
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


def quality_from_feedback(feedback: Feedback | None) -> bool | None:
    """Return whether people called an answer good; None where their feedback does not say."""
    if feedback is None:
        return None
    if feedback.thumb is not None:
        return feedback.thumb == "up"
    return False if (feedback.correction or "").strip() else None
