"""Checks feedback on served answers, ties it to the answer's record, and selects the effective one of several. Pure.

A client names an answer and says what is wrong with it; question, answer, model and documents come from the record of
the answer. Training sees a correction only through `ingest: feedback`, where `require_review` decides whether somebody
must have accepted it first. Feedback is never changed. Of several on one answer the effective one is the latest
reviewed; without one, the latest correction; without any, the latest.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.core.chat import prompt
from tasks.core.errors import DataError
from tasks.core.records.answer import AnswerRecord
from tasks.core.records.schema import Feedback

RefusalKind = Literal["invalid_request_error", "not_found_error", "rate_limit_error"]
MAX_ID = 100  # characters
_CONTEXT, _QUESTION = prompt.USER.format(context="\0", question="").split("\0")


class FeedbackRefusedError(DataError):
    """Feedback that is refused; `kind` is the error type of OpenAI's API."""

    def __init__(self, kind: RefusalKind, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind


class FeedbackLimits(BaseModel):
    """Limits of one API key, so that no client can flood the training data with its own answers."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    verdicts_a_day: int = 500
    """Thumbs and reasons of one key in a day (UTC)."""
    corrections_a_day: int = 50
    """Corrected answers of one key in a day (UTC)."""
    correction_chars: int = 4000
    reason_chars: int = 1000
    own_answers_only: bool = True
    """A key may judge only the answers that it received."""


class Opinion(BaseModel):
    """Feedback as a client sends it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    answer_id: str
    thumb: Literal["up", "down"] | None = None
    correction: str | None = None
    reason: str = ""


def read_opinion(body: object) -> Opinion:
    """Return the parsed feedback. Raises FeedbackRefusedError, which names the invalid field, never its value."""
    try:
        return Opinion.model_validate(body, strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = first["loc"][0] if first["loc"] else "body"
        known = field if field in (*Opinion.model_fields, "body") else "a field"
        names = ", ".join(Opinion.model_fields)
        raise FeedbackRefusedError(
            "invalid_request_error",
            f"Feedback is not understood ({known}: {first['type']}): send {names}, where thumb is 'up' or 'down'.",
        ) from None


def check_opinion(opinion: Opinion, limits: FeedbackLimits) -> None:
    """Raise FeedbackRefusedError for an opinion that is empty or too long."""
    if not 0 < len(opinion.answer_id) <= MAX_ID:
        raise _invalid(f"Feedback names no answer: send the answer's id, at most {MAX_ID} characters.")
    if opinion.correction is not None and not opinion.correction.strip():
        raise _invalid("The correction is empty: send the right answer, or leave `correction` out.")
    if opinion.thumb is None and opinion.correction is None and not opinion.reason.strip():
        raise _invalid("Feedback says nothing: send a thumb, a correction or a reason.")
    for name, text, most in (
        ("correction", opinion.correction or "", limits.correction_chars),
        ("reason", opinion.reason, limits.reason_chars),
    ):
        if len(text) > most:
            raise _invalid(f"The {name} has {len(text)} characters, more than the {most} allowed: shorten it.")


def judged_answer(found: AnswerRecord | None, key_id: str, limits: FeedbackLimits) -> AnswerRecord:
    """Return the answer that may be judged by this key.

    Raises FeedbackRefusedError where no user saw such an answer. Another key's answer is refused with the same words,
    so that a client cannot find out which ids exist.
    """
    is_foreign = limits.own_answers_only and found is not None and found.key_id not in (None, key_id)
    if found is None or found.shadow_of is not None or is_foreign:
        raise FeedbackRefusedError(
            "not_found_error", "There is no answer with this id: send the id that came with the answer, within a week."
        )
    if found.status != "ok":
        raise _invalid("The request behind this id ended without an answer, so there is nothing to judge.")
    return found


def feedback_on(answer: AnswerRecord, opinion: Opinion, at: datetime) -> Feedback:
    """Return the opinion as it is stored: with the recorded answer, pending review."""
    return Feedback(
        answer_id=answer.answer_id,
        model=answer.model,
        question=question_of(answer),
        answer=answer.answer,
        correction=opinion.correction,
        thumb=opinion.thumb,
        reason=opinion.reason,
        document_ids=answer.document_ids,
        review="pending",
        recorded_at=at.astimezone(UTC).isoformat(timespec="microseconds"),
    )


def question_of(answer: AnswerRecord) -> str:
    """Return the last user message, without the context that the prompt template puts around it."""
    asked = next((m.get("content", "") for m in reversed(answer.messages) if m.get("role") == "user"), "")
    if asked.startswith(_CONTEXT) and _QUESTION in asked:
        return asked.rpartition(_QUESTION)[2]
    return asked


def effective_verdict(verdicts: Iterable[Feedback]) -> Feedback:
    """Return the effective one of all verdicts on an answer. Raises ValueError where there is none."""
    return max(enumerate(verdicts), key=lambda item: (*_weight(item[1]), item[0]))[1]


def effective_verdicts(verdicts: Iterable[Feedback]) -> dict[str, Feedback]:
    """Return the effective verdict by answer id, in the order of the first verdict on each answer."""
    by_answer: dict[str, list[Feedback]] = {}
    for verdict in verdicts:
        by_answer.setdefault(verdict.answer_id, []).append(verdict)
    return {answer_id: effective_verdict(own) for answer_id, own in by_answer.items()}


def _weight(verdict: Feedback) -> tuple[bool, bool, datetime]:
    is_reviewed = verdict.review != "pending"
    return is_reviewed, is_reviewed or bool((verdict.correction or "").strip()), _moment(verdict.recorded_at)


def _moment(text: str) -> datetime:
    """Return the time of a verdict; an unreadable time is older than all others."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _invalid(sentence: str) -> FeedbackRefusedError:
    return FeedbackRefusedError("invalid_request_error", sentence)
