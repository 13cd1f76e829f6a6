"""The signals of one answer that a rollout compares: quality, errors, latency, abstention, grounding. Pure.

`quality` is 1 for an answer that is complete, grounded and no abstention, 0 for any other one, a failure included; what
somebody said about the answer overrides it. What was not measured is None. Caveat: a client that goes away tells
nothing, unless it had waited long enough to call the answer slow.
"""

from collections.abc import Iterable, Mapping

from tasks.core.feedback.rules import effective_verdicts
from tasks.core.records.answer import AnswerRecord
from tasks.core.records.schema import Feedback

Signals = dict[str, float | None]


def signals_of(record: AnswerRecord, slow_s: float) -> Signals | None:
    """Return the signals as far as the answer itself tells them, or None where nothing is to be learnt."""
    is_slow = None if record.seconds is None else float(record.seconds > slow_s)
    if record.status == "cancelled":
        return {"slow": 1.0} if is_slow else None
    is_ok = record.status == "ok"
    ungrounded = None if record.ungrounded is None or not is_ok else float(bool(record.ungrounded))
    return {
        "quality": _quality(record, ungrounded),
        "errors": float(not is_ok),
        "slow": 1.0 if record.status == "timeout" else is_slow if is_ok else None,
        "abstained": None if record.abstained is None or not is_ok else float(record.abstained),
        "ungrounded": ungrounded,
        "negative_feedback": None,
    }


def with_opinion(signals: Signals, opinion: float | None) -> Signals:
    """Return the signals with what somebody said about the answer: 1 liked, 0 disliked, None nothing."""
    return signals if opinion is None else {**signals, "quality": opinion, "negative_feedback": 1.0 - opinion}


def opinions_of(feedback: Iterable[Feedback]) -> Mapping[str, float]:
    """Return by answer what was said about it: 1 liked, 0 disliked or corrected; a bare reason says neither."""
    found = {}
    for answer_id, verdict in effective_verdicts(feedback).items():
        if (verdict.correction or "").strip() or verdict.thumb == "down":
            found[answer_id] = 0.0
        elif verdict.thumb == "up":
            found[answer_id] = 1.0
    return found


def _quality(record: AnswerRecord, ungrounded: float | None) -> float | None:
    if record.status != "ok" or record.finish_reason == "length" or record.abstained:
        return 0.0
    return None if ungrounded is None else 1.0 - ungrounded
