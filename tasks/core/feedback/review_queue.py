"""Which served answers are most worth a person's label, and what a label becomes. Pure.

Worth is a sum of signs, each with its reason in words: what users said, that two models disagree (query by committee,
Seung, Opper & Sompolinsky 1992), that the grounding screen found terms of nowhere, that the model abstained although
retrieval was sure, that the topic has drifted. Of near-identical questions the worthiest stands for all, so that a
popular one does not fill the queue. The weights are set by hand: they order the queue and decide nothing.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from statistics import median
from typing import Literal

from tasks.core.digests import short
from tasks.core.errors import DataError
from tasks.core.evaluation.answer_scores import MIN_RIGHT_F1, token_f1
from tasks.core.feedback.rules import question_of, settle
from tasks.core.records.answer import AnswerRecord
from tasks.core.records.schema import Feedback

Label = Literal["accept", "correct", "reject"]
CORRECTED, THUMB_DOWN, DISAGREES, UNGROUNDED, UNSURE, DRIFTED = 5.0, 4.0, 3.0, 2.0, 2.0, 2.0
FULLY_UNGROUNDED = 3  # terms
MIN_ANSWERED = 20  # answers with scores, before one can say what a sure retrieval is
NEAR = 0.8  # share of words that two questions have in common
SHOWN_TERMS = 5
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class ReviewItem:
    """An answer to label, and why this one."""

    answer_id: str
    at: str
    model: str
    question: str
    answer: str
    proposal: str | None
    """What a user says is right; nobody has reviewed it."""
    document_ids: tuple[str, ...]
    score: float
    reasons: tuple[str, ...]
    """Sentences, the weightiest first."""
    similar: int = 0
    """Answers to nearly the same question for which this one stands."""


def review_queue(
    records: Iterable[AnswerRecord],
    verdicts: Iterable[Feedback],
    *,
    drifted: Collection[str] = frozenset(),
    limit: int = 20,
) -> list[ReviewItem]:
    """Return the answers to label, the worthiest first; the same records give the same queue in any order.

    drifted: ids of the answers that a drift report counts to the drifted region. Labelled answers are left out.
    """
    window = _Window(records)
    feedback = settle(verdicts)
    items = (window.item(answer, feedback.get(answer.answer_id), drifted) for answer in window.shown)
    worthy = sorted((item for item in items if item.score > 0), key=lambda item: (-item.score, item.at, item.answer_id))
    return _diverse(worthy, limit)


class _Window:
    """The answers of a time, and what they are compared with."""

    def __init__(self, records: Iterable[AnswerRecord]) -> None:
        self.shown: list[AnswerRecord] = []
        self._shadows: dict[str, list[AnswerRecord]] = defaultdict(list)
        self._asked: dict[str, dict[str, AnswerRecord]] = defaultdict(dict)
        for record in sorted((r for r in records if r.status == "ok"), key=lambda r: (r.at, r.answer_id)):
            if record.shadow_of is not None:
                self._shadows[record.shadow_of].append(record)
                continue
            self.shown.append(record)
            self._asked[_key(record)][record.model] = record
        self._sure = self._sure_retrieval()

    def item(self, answer: AnswerRecord, verdict: Feedback | None, drifted: Collection[str]) -> ReviewItem:
        signs: list[tuple[float, str]] = []
        if verdict is None or verdict.review == "pending":
            signs = list(self._signs(answer, verdict))
            signs += [(DRIFTED, "Its topic has drifted.")] if answer.answer_id in drifted else []
        signs.sort(key=lambda sign: (-sign[0], sign[1]))
        return ReviewItem(
            answer_id=answer.answer_id,
            at=answer.at,
            model=answer.model,
            question=question_of(answer),
            answer=answer.answer,
            proposal=_proposal(verdict),
            document_ids=tuple(answer.document_ids),
            score=round(sum(weight for weight, _ in signs), 6),
            reasons=tuple(reason for _, reason in signs),
        )

    def _signs(self, answer: AnswerRecord, verdict: Feedback | None) -> Iterator[tuple[float, str]]:
        if verdict is not None:
            yield from _said(verdict)
        yield from self._disagreement(answer)
        if answer.ungrounded:
            yield UNGROUNDED * min(1.0, len(answer.ungrounded) / FULLY_UNGROUNDED), _ungrounded(answer.ungrounded)
        best = max(answer.retrieval_scores, default=None)
        if answer.abstained and best is not None and self._sure is not None and best >= self._sure:
            yield (
                UNSURE,
                f"It abstained although retrieval was sure: {best:.3g}, and half of the answered questions have less "
                f"than {self._sure:.3g}.",
            )

    def _disagreement(self, answer: AnswerRecord) -> Iterator[tuple[float, str]]:
        """Yield how far the model that disagrees most is from this answer."""
        same = (other for model, other in self._asked[_key(answer)].items() if model != answer.model)
        rivals = [*self._shadows.get(answer.answer_id, ()), *same]
        if not rivals:
            return
        agreement, rival = min((_agreement(answer, other), other.model) for other in rivals)
        if agreement < MIN_RIGHT_F1:
            yield (
                DISAGREES * (1 - agreement),
                f"The model {short(rival)} answers differently: the two share {agreement:.0%} of their words.",
            )

    def _sure_retrieval(self) -> float | None:
        """Return the median of the best scores of answered questions; None where they are too few to tell."""
        best = [max(r.retrieval_scores) for r in self.shown if r.abstained is False and r.retrieval_scores]
        return median(best) if len(best) >= MIN_ANSWERED else None


def _said(verdict: Feedback) -> Iterator[tuple[float, str]]:
    why = f": {' '.join(verdict.reason.split())}" if verdict.reason.strip() else "."
    if _proposal(verdict):
        yield CORRECTED, f"A user proposes another answer{why}"
    elif verdict.thumb == "down":
        yield THUMB_DOWN, f"A user says it is wrong{why}"


def _proposal(verdict: Feedback | None) -> str | None:
    return verdict.correction if verdict is not None and (verdict.correction or "").strip() else None


def _ungrounded(terms: Sequence[str]) -> str:
    more = f" and {len(terms) - SHOWN_TERMS} more" if len(terms) > SHOWN_TERMS else ""
    return f"Neither documents nor question hold {', '.join(terms[:SHOWN_TERMS])}{more}."


def _agreement(one: AnswerRecord, other: AnswerRecord) -> float:
    """Return how alike two answers are; two that abstain agree, however they say it."""
    if one.abstained and other.abstained:
        return 1.0
    return token_f1(one.answer, other.answer)


def _key(answer: AnswerRecord) -> str:
    return " ".join(question_of(answer).casefold().split())


def _diverse(items: Sequence[ReviewItem], limit: int) -> list[ReviewItem]:
    """Return the first `limit` items of which no two ask nearly the same."""
    chosen: list[tuple[ReviewItem, frozenset[str]]] = []
    similar: dict[str, int] = defaultdict(int)
    for item in items:
        words = frozenset(_WORD.findall(item.question.casefold()))
        twin = next((kept for kept, other in chosen if _share(words, other) >= NEAR), None)
        if twin is not None:
            similar[twin.answer_id] += 1
        elif len(chosen) < limit:
            chosen.append((item, words))
    return [replace(item, similar=similar[item.answer_id]) for item, _ in chosen]


def _share(one: frozenset[str], other: frozenset[str]) -> float:
    """Return the Jaccard similarity; two questions without a word are the same."""
    return len(one & other) / len(one | other) if one | other else 1.0


def labelled(item: ReviewItem, label: Label, at: datetime, *, correction: str = "", reason: str = "") -> Feedback:
    """Return the reviewer's verdict on an answer, which `ingest: feedback` reads.

    accept: what a user proposes is right, or where nobody proposes anything the answer itself. correct: `correction` is
    right. reject: neither is, and nothing is learnt from it. Raises DataError where there is no text to learn.
    """
    proposed = item.proposal if item.proposal is not None else item.answer
    right = {"accept": proposed, "correct": correction, "reject": ""}[label]
    if label != "reject" and not right.strip():
        raise DataError(f"There is no text to {label} for {item.answer_id}: write the right answer, or reject it.")
    is_answer_right = label == "accept" and item.proposal is None
    return Feedback(
        answer_id=item.answer_id,
        model=item.model,
        question=item.question,
        answer=item.answer,
        correction=None if label == "reject" else right,
        thumb="up" if is_answer_right else "down",
        reason=reason,
        document_ids=list(item.document_ids),
        review="rejected" if label == "reject" else "accepted",
        recorded_at=at.astimezone(UTC).isoformat(timespec="microseconds"),
    )


def item_for(answer: AnswerRecord, verdicts: Iterable[Feedback]) -> ReviewItem:
    """Return one answer as an item, whether or not it is worth a label."""
    own: Mapping[str, Feedback] = settle(v for v in verdicts if v.answer_id == answer.answer_id)
    return _Window([answer]).item(answer, own.get(answer.answer_id), frozenset())
