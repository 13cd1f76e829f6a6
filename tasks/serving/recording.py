"""Where the gateway leaves what it answered."""

from typing import Protocol

from tasks.core.answer_record import AnswerRecord


class Recorder(Protocol):
    """Keeps records. It must neither block nor raise: what it could not keep, it counts."""

    def record(self, answer: AnswerRecord) -> None:
        """Take a record, at once."""


class NoRecorder:
    """Keeps nothing."""

    def record(self, answer: AnswerRecord) -> None:
        """Forget the record."""
