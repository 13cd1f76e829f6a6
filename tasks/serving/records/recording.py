"""The recorder: redacts answers and writes them to disk in the background, so that no request waits for it.

`record` puts an answer into a bounded queue and returns. A thread redacts what is in the queue, all at once, and
appends it to the journal of the hour, flushed to the disk: a crash loses at most what was recorded in the last second.
`rotation` turns finished journals into Parquet. What could not be written is counted, and no request fails by it.
Nothing reaches the disk unredacted: a record that cannot be redacted is not written.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tasks.adapters.privacy.redactor import make_redactor
from tasks.adapters.records.answer_log import find_record
from tasks.adapters.records.journal import Journal, line_of
from tasks.adapters.records.record_place import RecordPlace, open_records, start_of_hour
from tasks.adapters.storage.secret_key import pseudonym_key
from tasks.core.privacy.record_redaction import Recogniser, redact_answers
from tasks.core.privacy.redaction import Redactor
from tasks.core.privacy.redaction_config import RedactionConfig
from tasks.core.records.answer import AnswerRecord
from tasks.runner import load_config_as
from tasks.serving.records.rotation import Rotator
from tasks.settings import Settings

logger = logging.getLogger(__name__)

FLUSH_EVERY_S = 0.6  # a batch costs the detectors' 6 ms, however few its records
MAX_RECORDS = 20_000
MAX_CHARS = 64_000_000
BATCH = 512
FIND_WAIT_S = 2.0


@dataclass(frozen=True)
class Counts:
    """How many answers were recorded and lost so far, for /metrics."""

    recorded: int = 0
    """On disk."""
    dropped: int = 0
    """Not taken: the queue was full or closed."""
    failed: int = 0
    """Taken, but could not be redacted or written."""
    pending: int = 0
    """In memory."""
    rotated: int = 0
    """Journals that became Parquet files."""
    delayed: int = 0
    """Attempts to do so that did not work out; the journal stays for the next one."""


def redactor_of(settings: Settings) -> Redactor:
    """Return the redactor that curation uses here: the same key, the same classes of your own."""
    patterns = load_config_as(RedactionConfig).extra_patterns
    return make_redactor(pseudonym_key(settings.pseudonym_key, settings.home), patterns)


def open_recorder(settings: Settings) -> "Recorder":
    """Return a recorder for this checkout, already at work."""
    return Recorder(open_records(settings), redactor_of(settings))


def _now() -> datetime:
    return datetime.now(UTC)


class Recorder:
    """Writes answers to disk in the background, from its construction to `close`."""

    def __init__(
        self,
        place: RecordPlace,
        redactor: Redactor,
        *,
        recogniser: Recogniser | None = None,
        clock: Callable[[], datetime] = _now,
        max_records: int = MAX_RECORDS,
        max_chars: int = MAX_CHARS,
    ) -> None:
        self._place, self._redactor, self._recogniser, self._clock = place, redactor, recogniser, clock
        self._max_records, self._max_chars = max_records, max_chars
        self._queue: deque[AnswerRecord] = deque()
        self._chars = self._taken = self._recorded = self._dropped = self._failed = 0
        self._journal: Journal | None = None
        self._state = threading.Condition()
        self._closing, self._is_failing = False, False
        self._write_now = threading.Event()
        self._rotator = Rotator(place)
        self._writer = threading.Thread(target=self._write_until_closed, name="recorder", daemon=True)
        self._writer.start()

    def record(self, answer: AnswerRecord) -> None:
        """Take the answer to be written soon. Returns at once and never raises; what does not fit is counted."""
        try:
            chars = _chars(answer)
            with self._state:
                if self._closing or len(self._queue) >= self._max_records or self._chars + chars > self._max_chars:
                    self._dropped += 1
                    return
                self._queue.append(answer)
                self._chars += chars
                self._taken += 1
        except Exception as error:
            self._dropped += 1
            logger.warning("an answer was not recorded (%s)", type(error).__name__)

    @property
    def counts(self) -> Counts:
        with self._state:
            return Counts(
                recorded=self._recorded,
                dropped=self._dropped,
                failed=self._failed,
                pending=self._taken - self._recorded - self._failed,
                rotated=self._rotator.rotated,
                delayed=self._rotator.delayed,
            )

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until what was recorded before this call is on disk or counted as failed; False when time is up."""
        with self._state:
            taken = self._taken
            self._write_now.set()
            return self._state.wait_for(lambda: self._recorded + self._failed >= taken, timeout_s)

    def find(self, answer_id: str) -> AnswerRecord | None:
        """Return the record as written, without personal data, or None. Raises ExternalError, OSError."""
        found = find_record(self._place, answer_id, self._clock())
        if found is None and self.counts.pending and self.flush(FIND_WAIT_S):
            found = find_record(self._place, answer_id, self._clock())
        return found

    def close(self, timeout_s: float = 20.0) -> bool:
        """Take no more, write what is there, rotate; True when all is done. Call it once more to wait longer."""
        with self._state:
            self._closing = True
        self._write_now.set()
        end = time.monotonic() + timeout_s
        self._writer.join(timeout_s)
        return not self._writer.is_alive() and self._rotator.close(max(0.0, end - time.monotonic()))

    def _write_until_closed(self) -> None:
        while True:
            self._write_now.wait(FLUSH_EVERY_S)
            self._write_now.clear()
            is_last = self._closing
            self._write_what_is_there()
            self._end_hour(is_last=is_last)
            if is_last:
                return

    def _write_what_is_there(self) -> None:
        """Write what is in the queue now, and not what comes meanwhile: one by one they would cost a batch each."""
        for _ in range(-(-len(self._queue) // BATCH)):
            self._write(self._take())

    def _take(self) -> list[AnswerRecord]:
        with self._state:
            batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            self._chars -= sum(map(_chars, batch))
            return batch

    def _write(self, batch: Sequence[AnswerRecord]) -> None:
        written = 0
        try:
            lines = self._redacted(batch)
            if lines:
                self._append(b"".join(lines))
            written = len(lines)
            self._is_failing = False
        except Exception as error:
            self._note_failure(error)
        with self._state:
            self._recorded += written
            self._failed += len(batch) - written
            self._state.notify_all()

    def _redacted(self, batch: Sequence[AnswerRecord]) -> list[bytes]:
        """Return the lines of those that can be redacted; one that cannot be does not take the others with it."""
        try:
            return [line_of(answer) for answer in redact_answers(self._redactor, batch, self._recogniser)]
        except Exception as error:
            if len(batch) == 1:
                logger.warning("an answer could not be redacted and was not written (%s)", type(error).__name__)
                return []
            return [line for answer in batch for line in self._redacted([answer])]

    def _append(self, lines: bytes) -> None:
        self._end_hour()
        if self._journal is None:
            self._journal = Journal(self._place.journals, self._clock())
        try:
            self._journal.append(lines)
        except OSError:
            if self._journal.is_torn:
                self._seal()  # the next records get another file
            raise

    def _end_hour(self, *, is_last: bool = False) -> None:
        if self._journal is not None and (is_last or self._journal.hour != start_of_hour(self._clock())):
            self._seal()

    def _seal(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None
            self._rotator.wake()

    def _note_failure(self, error: Exception) -> None:
        if not self._is_failing:  # said once, counted always
            reason = error.strerror if isinstance(error, OSError) else type(error).__name__
            logger.error("answers cannot be recorded in %s: %s", self._place.journals, reason)
        self._is_failing = True


def _chars(answer: AnswerRecord) -> int:
    return len(answer.answer) + sum(len(text) for message in answer.messages for text in message.values())
