"""What was answered and said before, from this checkout's records and the feedback on them.

Reads open journals too, so that a gateway that was killed goes on with all evidence but the last second's.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from tasks.adapters.records.answer_log import answers_of, read_hours
from tasks.adapters.records.feedback_store import read_feedback
from tasks.adapters.storage.object_store import open_store
from tasks.core.records.answer import AnswerRecord
from tasks.core.rollout.signals import opinions_of
from tasks.serving.records.recording import record_place
from tasks.settings import Settings


class RecordedHistory:
    """The records and the feedback that settings name."""

    def __init__(self, settings: Settings) -> None:
        self._place = record_place(settings)
        self._feedback = open_store(settings.feedback_url, settings.s3_endpoint_url)

    def records(self, since: datetime) -> Iterator[AnswerRecord]:
        """Yield the records of answers since then, an hour in memory at a time."""
        for hour in read_hours(self._place, since, datetime.now(UTC) + timedelta(seconds=1)):
            yield from answers_of(hour)

    def opinions(self, since: datetime) -> Mapping[str, float]:
        """Return what was said about answers since then."""
        return opinions_of(read_feedback(self._feedback, since))
