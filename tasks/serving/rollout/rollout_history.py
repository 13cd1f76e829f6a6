"""What was answered and said before, from this checkout's records and the feedback on them.

Reads open journals too, so that a gateway that was killed goes on with all evidence but the last second's.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from tasks.adapters.records.answer_log import read_hours
from tasks.adapters.records.feedback_store import open_feedback, read_feedback
from tasks.adapters.records.record_place import open_records
from tasks.adapters.records.record_table import answers_of
from tasks.core.records.answer import AnswerRecord
from tasks.core.rollout.signals import opinions_of
from tasks.settings import Settings


class RecordedHistory:
    """The records and the feedback that settings name."""

    def __init__(self, settings: Settings) -> None:
        self._place = open_records(settings)
        self._feedback = open_feedback(settings)

    def records(self, since: datetime) -> Iterator[AnswerRecord]:
        """Yield the records of answers since then, an hour in memory at a time."""
        for hour in read_hours(self._place, since, datetime.now(UTC) + timedelta(seconds=1)):
            yield from answers_of(hour)

    def opinions(self, since: datetime) -> Mapping[str, float]:
        """Return what was said about answers since then."""
        return opinions_of(read_feedback(self._feedback, since))
