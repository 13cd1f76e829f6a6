"""Redact answer records: everything in them that a person wrote or a model said.

Messages with all their fields, the answer, and strings among the parameters are redacted as one record each, so that
a value is the same pseudonym in question and answer. A term of the grounding screen that is a part of such a value (the
last digits of a phone number) becomes its pseudonym too. Ids and digests are ours and stay.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import polars as pl
from pydantic import JsonValue

from tasks.core.privacy.redaction import MIN_TRAVELLING, Redactor, Values
from tasks.core.privacy.spans import Span
from tasks.core.records.answer import AnswerRecord
from tasks.core.records.schema import Feedback


class Recogniser(Protocol):
    """A named-entity model."""

    def find(self, texts: Sequence[str]) -> list[list[Span]]:
        """Return the names in each text."""


def redact_answers(
    redactor: Redactor, answers: Sequence[AnswerRecord], recogniser: Recogniser | None = None
) -> list[AnswerRecord]:
    """Return the records without personal data, in order; a batch of hundreds costs little more than one."""
    cells = [list(_texts(answer)) for answer in answers]
    redacted, values = _redact(redactor, cells, recogniser)
    return [
        _rebuilt(answer, iter(texts), values.get(row, {}))
        for row, (answer, texts) in enumerate(zip(answers, redacted, strict=True))
    ]


def redact_feedback(redactor: Redactor, feedback: Feedback, recogniser: Recogniser | None = None) -> Feedback:
    """Return the verdict without personal data."""
    texts = [feedback.question, feedback.answer, feedback.correction or "", feedback.reason]
    ((question, answer, correction, reason),), _ = _redact(redactor, [texts], recogniser)
    return feedback.model_copy(
        update={
            "question": question,
            "answer": answer,
            "correction": None if feedback.correction is None else correction,
            "reason": reason,
        }
    )


def _redact(
    redactor: Redactor, cells: Sequence[Sequence[str]], recogniser: Recogniser | None
) -> tuple[list[list[str]], dict[int, Values]]:
    flat = [_encodable(text) for texts in cells for text in texts]
    rows = [row for row, texts in enumerate(cells) for _ in texts]
    found = {cell: spans for cell, spans in enumerate(recogniser.find(flat)) if spans} if recogniser else {}
    redaction = redactor.redact(pl.Series(flat, dtype=pl.String), rows, found=found)
    after = iter(redaction.texts.to_list())
    return [[next(after) for _ in texts] for texts in cells], redaction.values


def _texts(answer: AnswerRecord) -> Iterator[str]:
    for message in answer.messages:
        yield from message.values()
    yield answer.answer
    yield from answer.ungrounded or ()
    yield from _strings(answer.parameters)


def _strings(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _strings(item)


def _rebuilt(answer: AnswerRecord, texts: Iterator[str], values: Values) -> AnswerRecord:
    """Return `answer` with its texts replaced in the order in which `_texts` gave them."""
    return answer.model_copy(
        update={
            "messages": [{name: next(texts) for name in message} for message in answer.messages],
            "answer": next(texts),
            "ungrounded": answer.ungrounded and [_whole(next(texts), values) for _ in answer.ungrounded],
            "parameters": _with_strings(answer.parameters, texts),
        }
    )


def _with_strings(value: JsonValue, texts: Iterator[str]) -> JsonValue:
    if isinstance(value, str):
        return next(texts)
    if isinstance(value, list):
        return [_with_strings(item, texts) for item in value]
    if isinstance(value, dict):
        return {next(texts): _with_strings(item, texts) for item in value.values()}
    return value


def _whole(term: str, values: Values) -> str:
    """Return the pseudonym of the value that `term` is a part of, or the term."""
    if len(term) < MIN_TRAVELLING:
        return term
    return next((pseudonym for value, pseudonym in sorted(values.items()) if term in value), term)


def _encodable(text: str) -> str:
    """Return `text` with a question mark for each half of a surrogate pair, which no file can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")
