"""Ranks the served answers that a person should label first, and turns a label into feedback. Pure.

An answer's score is a weighted sum of reasons: a user disliked it, two models disagree (query by committee, Seung,
Opper & Sompolinsky 1992), the grounding screen found terms that neither documents nor question hold, the model
abstained although retrieval scored high, its topic has drifted. Of near-identical questions only the one with the
highest score is queued. The weights are set by hand: they order the queue and decide nothing else.
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
from tasks.core.feedback.rules import effective_verdicts, question_of
from tasks.core.records.answer import AnswerRecord
from tasks.core.records.schema import Feedback

Label = Literal["accept", "correct", "reject"]
CORRECTED, THUMB_DOWN, DISAGREES, UNGROUNDED, ABSTAINED, DRIFTED = 5.0, 4.0, 3.0, 2.0, 2.0, 2.0
FULLY_UNGROUNDED = 3  # terms
MIN_ANSWERED = 20  # with retrieval scores; with fewer, no score counts as high
MIN_WORD_OVERLAP = 0.8  # share of words that two questions have in common
SHOWN_TERMS = 5
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class ReviewItem:
    """An answer to label, with the reasons for it."""

    answer_id: str
    at: str
    model: str
    question: str
    answer: str
    proposal: str | None
    """A user's correction that nobody has reviewed."""
    document_ids: tuple[str, ...]
    score: float
    reasons: tuple[str, ...]
    """Sentences, by falling weight."""
    similar: int = 0
    """Number of answers to nearly the same question that were left out for this one."""


def review_queue(
    records: Iterable[AnswerRecord],
    verdicts: Iterable[Feedback],
    *,
    drifted: Collection[str] = frozenset(),
    limit: int = 20,
) -> list[ReviewItem]:
    """Return the answers to label, the highest score first; the order of the records does not matter.

    `drifted`: ids of the answers in drifted segments. Labelled answers are left out.
    """
    pool = _AnswerPool(records)
    feedback = effective_verdicts(verdicts)
    items = (pool.item(answer, feedback.get(answer.answer_id), drifted) for answer in pool.shown)
    scored = sorted((item for item in items if item.score > 0), key=lambda item: (-item.score, item.at, item.answer_id))
    return _without_near_duplicates(scored, limit)


class _AnswerPool:
    """The answers that users saw, and the answers of other models to compare them with."""

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
        self._high_score = self._high_retrieval_score()

    def item(self, answer: AnswerRecord, verdict: Feedback | None, drifted: Collection[str]) -> ReviewItem:
        reasons: list[tuple[float, str]] = []
        if verdict is None or verdict.review == "pending":
            reasons = list(self._reasons_for(answer, verdict))
            reasons += [(DRIFTED, "Its topic has drifted.")] if answer.answer_id in drifted else []
        reasons.sort(key=lambda reason: (-reason[0], reason[1]))
        return ReviewItem(
            answer_id=answer.answer_id,
            at=answer.at,
            model=answer.model,
            question=question_of(answer),
            answer=answer.answer,
            proposal=_proposal(verdict),
            document_ids=tuple(answer.document_ids),
            score=round(sum(weight for weight, _ in reasons), 6),
            reasons=tuple(reason for _, reason in reasons),
        )

    def _reasons_for(self, answer: AnswerRecord, verdict: Feedback | None) -> Iterator[tuple[float, str]]:
        if verdict is not None:
            yield from _feedback_reasons(verdict)
        yield from self._disagreement(answer)
        if answer.ungrounded:
            yield UNGROUNDED * min(1.0, len(answer.ungrounded) / FULLY_UNGROUNDED), _ungrounded(answer.ungrounded)
        best = max(answer.retrieval_scores, default=None)
        if answer.abstained and best is not None and self._high_score is not None and best >= self._high_score:
            yield (
                ABSTAINED,
                f"It abstained although retrieval was sure: {best:.3g}, and half of the answered questions have less "
                f"than {self._high_score:.3g}.",
            )

    def _disagreement(self, answer: AnswerRecord) -> Iterator[tuple[float, str]]:
        """Yield the disagreement with the model whose answer differs most, if it is large."""
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

    def _high_retrieval_score(self) -> float | None:
        """Return the median of the best scores of answered questions; None where there are too few."""
        best = [max(r.retrieval_scores) for r in self.shown if r.abstained is False and r.retrieval_scores]
        return median(best) if len(best) >= MIN_ANSWERED else None


def _feedback_reasons(verdict: Feedback) -> Iterator[tuple[float, str]]:
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
    """Return the similarity of two answers from 0 to 1; two that abstain agree, whatever their words."""
    if one.abstained and other.abstained:
        return 1.0
    return token_f1(one.answer, other.answer)


def _key(answer: AnswerRecord) -> str:
    return " ".join(question_of(answer).casefold().split())


def _without_near_duplicates(items: Sequence[ReviewItem], limit: int) -> list[ReviewItem]:
    """Return the first `limit` items, without those whose question nearly repeats an earlier one."""
    chosen: list[tuple[ReviewItem, frozenset[str]]] = []
    similar: dict[str, int] = defaultdict(int)
    for item in items:
        words = frozenset(_WORD.findall(item.question.casefold()))
        twin = next((kept for kept, other in chosen if _share(words, other) >= MIN_WORD_OVERLAP), None)
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

    accept: what a user proposes is right, or without a proposal the answer itself. correct: `correction` is right.
    reject: neither is right, and training skips it. Raises DataError where the right text would be empty.
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
    """Return one answer as an item, also where its score is 0."""
    own: Mapping[str, Feedback] = effective_verdicts(v for v in verdicts if v.answer_id == answer.answer_id)
    return _AnswerPool([answer]).item(answer, own.get(answer.answer_id), frozenset())
