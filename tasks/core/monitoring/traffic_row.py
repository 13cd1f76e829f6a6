"""The row that the drift tests compare, one per answer. This module makes the row of an evaluated answer.

`served_traffic` makes that of a served one. Quality is 1 for an answer that is complete, grounded and not declined, and
0 for any other. It needs no reference answer, so an evaluation and last night's traffic are measured alike. Unknown
values are missing. Pure. Caveat: a question that should be declined counts as badly answered on both sides; only the
shares are compared.
"""

from typing import TypedDict

from tasks.core.evaluation.measurements import OK, Item, Reply


class TrafficRow(TypedDict):
    """A row of a window or of a reference, without the embedding of its question."""

    answer_id: str
    at: str
    key_id: str | None
    question: str
    answer: str
    question_length: int
    retrieval_score: float | None
    """Similarity of the best document found."""
    answer_length: int | None
    abstained: bool | None
    ungrounded: bool | None
    quality: bool | None
    latency_s: float | None
    cost: float | None
    """Processor seconds."""


def evaluation_row(
    item: Item,
    reply: Reply,
    *,
    retrieval: float | None,
    abstained: bool | None,
    ungrounded: bool | None,
    max_tokens: int,
) -> TrafficRow:
    """Return the row of an answer of the evaluation, which knows no time and no cost of serving.

    `max_tokens`: length at which an answer is cut off.
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
        quality=is_good(is_whole and reply.completion_tokens < max_tokens, abstained, ungrounded),
        latency_s=None,
        cost=None,
    )


def is_good(is_complete: bool, abstained: bool | None, ungrounded: bool | None) -> bool | None:
    """Return the quality of an answer; None where a check was not made and the others found nothing wrong."""
    if not is_complete or abstained or ungrounded:
        return False
    return None if abstained is None or ungrounded is None else True
