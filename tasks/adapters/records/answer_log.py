"""Records of answers on disk: a journal for the current hour, a Parquet file for each hour that is over (pyarrow).

Journals (`2026-05-01T10-3f9a2c1d.jsonl`, a JSON object a line) lie in a local folder. Whoever writes one holds its lock
(flock), so a journal without a holder was left by a process that is gone. Rotation makes it one Parquet file of the
same name, below its day, in a folder or a bucket. The name is the writer's own and the content follows from the
journal, so a rotation that was killed half-way is simply done again. Hours are those of UTC in which a record was
written. A line that is not whole, the last of a killed process, is dropped. Messages keep role and content, parameters
are JSON. Caveat: hours are found by name, so the clock of a writer must be roughly right.
"""

import contextlib
import fcntl
import json
import logging
import os
import re
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import polars as pl
import pyarrow as pa
from pydantic import ValidationError

from tasks.adapters.storage.files import flush_folder
from tasks.adapters.storage.object_store import Store, open_store
from tasks.adapters.storage.tables import BATCH_ROWS, read_batches, table_writer
from tasks.core.records.answer import AnswerRecord
from tasks.core.records.answer_id import hour_of

logger = logging.getLogger(__name__)

JOURNALS = "journal"  # below a checkout's `home`
HOUR = "%Y-%m-%dT%H"
STEM = re.compile(r"(?P<hour>(?P<day>\d{4}-\d\d-\d\d)T\d\d)-[0-9a-f]{8}")
JOURNAL, PARQUET = ".jsonl", ".parquet"
ONE_HOUR = timedelta(hours=1)
LATE = ONE_HOUR  # a record is written at most so long after its time
SEARCHED = timedelta(days=7)  # how far back an id is looked for that does not tell its hour

_TEXT = pa.string()
RECORD_SCHEMA = pa.schema(
    [
        ("answer_id", _TEXT),
        ("at", _TEXT),
        ("model", _TEXT),
        ("arm", _TEXT),
        ("prompt_digest", _TEXT),
        ("index_version", _TEXT),
        ("engine", _TEXT),
        ("parameters", _TEXT),
        ("messages", pa.list_(pa.struct([("role", _TEXT), ("content", _TEXT)]))),
        ("answer", _TEXT),
        ("document_ids", pa.list_(_TEXT)),
        ("retrieval_scores", pa.list_(pa.float64())),
        ("abstained", pa.bool_()),
        ("ungrounded", pa.list_(_TEXT)),
        ("status", _TEXT),
        ("finish_reason", _TEXT),
        ("prompt_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
        ("ttft_s", pa.float64()),
        ("seconds", pa.float64()),
        ("cpu_s", pa.float64()),
        ("key_id", _TEXT),
        ("cached", pa.bool_()),
        ("shadow_of", _TEXT),
        ("bucket", pa.int64()),
    ],
    metadata={"ratchet.schema": "answer/1"},
)


@dataclass(frozen=True)
class RecordPlace:
    """Where records lie: open journals in a local folder, finished hours in a store."""

    journals: Path
    store: Store


def open_records(home: Path, url: str, endpoint_url: str | None) -> RecordPlace:
    """Return where a checkout keeps its records: `url` is a folder or s3://bucket/prefix."""
    return RecordPlace(home / JOURNALS, open_store(url, endpoint_url))


class Journal:
    """The file that one process appends the current hour's records to. Lines are whole or taken back."""

    def __init__(self, folder: Path, hour: datetime) -> None:
        """Open a new journal. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.hour = start_of_hour(hour)
        self.path = folder / f"{self.hour:{HOUR}}-{secrets.token_hex(4)}{JOURNAL}"
        unnamed = self.path.with_suffix(".new")  # locked before it has the name by which others find it
        self._descriptor = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            unnamed.rename(self.path)
            flush_folder(folder)
        except OSError:
            os.close(self._descriptor)
            unnamed.unlink(missing_ok=True)
            raise
        self._size = 0
        self.is_torn = False
        """A write failed and could not be taken back: nothing more may be appended."""

    def append(self, lines: bytes) -> None:
        """Write whole lines so that they survive a loss of power; all or none of them. Raises OSError."""
        try:
            rest = memoryview(lines)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fsync(self._descriptor)
        except OSError:
            self._take_back()
            raise
        self._size += len(lines)

    def _take_back(self) -> None:
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            self.is_torn = True

    def close(self) -> None:
        """Let go of the journal: it may be rotated now."""
        os.close(self._descriptor)


def start_of_hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def line_of(answer: AnswerRecord) -> bytes:
    """Return the record as a journal has it."""
    return answer.model_dump_json().encode("utf-8") + b"\n"


def journals(place: RecordPlace) -> list[Path]:
    """Return the journals there are, oldest first, open ones included."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(path for path in place.journals.iterdir() if path.suffix == JOURNAL and STEM.fullmatch(path.stem))
    return []


def rotate(journal: Path, place: RecordPlace) -> int | None:
    """Turn a journal that nobody holds into its Parquet file; return its records, None where somebody holds it.

    Raises ExternalError where the store cannot be written, OSError where the local folder cannot; the journal stays.
    """
    try:
        file = journal.open("rb")
    except FileNotFoundError:  # another process was first
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        if not journal.exists():
            return None
        count = _to_parquet(journal, place)
        journal.unlink()
    return count


def _to_parquet(journal: Path, place: RecordPlace) -> int:
    if not journal.stat().st_size:
        return 0
    table, answers, count = journal.with_suffix(PARQUET), read_journal(journal), 0
    with table_writer(table, RECORD_SCHEMA) as writer:
        while batch := list(islice(answers, BATCH_ROWS)):
            writer.write(frame_of_answers(batch))
            count += len(batch)
    if count:
        place.store.upload(_key(journal.stem), table)
    table.unlink()
    return count


def read_journal(path: Path) -> Iterator[AnswerRecord]:
    """Yield the records of a journal, also of one that is being written; a line that is not whole is dropped."""
    torn = 0
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):  # the last, torn by a kill or still being written
                torn += 1
                break
            try:
                yield AnswerRecord.model_validate_json(line)
            except ValidationError:
                torn += 1
    if torn:
        logger.warning("dropped %d lines of %s that are not whole", torn, path.name)


def frame_of_answers(answers: Iterable[AnswerRecord]) -> pl.DataFrame:
    """Return the records as a frame with the columns of `RECORD_SCHEMA`."""
    frame = pl.from_arrow(pa.Table.from_pylist([_row(answer) for answer in answers], schema=RECORD_SCHEMA))
    assert isinstance(frame, pl.DataFrame)
    return frame


def answers_of(frame: pl.DataFrame) -> Iterator[AnswerRecord]:
    """Yield the records of a frame that `read_records` gave."""
    for row in frame.iter_rows(named=True):
        yield AnswerRecord.model_validate({**row, "parameters": json.loads(row["parameters"])})


def _row(answer: AnswerRecord) -> dict[str, object]:
    said = [{"role": m.get("role", ""), "content": m.get("content", "")} for m in answer.messages]
    return {**answer.model_dump(), "parameters": json.dumps(answer.parameters, sort_keys=True), "messages": said}


def read_records(place: RecordPlace, since: datetime, until: datetime) -> pl.DataFrame:
    """Return the records of answers given from `since` up to, not including, `until`, oldest hour first."""
    return pl.concat([frame_of_answers(()), *read_hours(place, since, until)], rechunk=True)


def read_hours(place: RecordPlace, since: datetime, until: datetime) -> Iterator[pl.DataFrame]:
    """Yield the same an hour at a time: memory holds one hour. Raises ExternalError where the store is out of reach."""
    hours = _hours(place, start_of_hour(since), start_of_hour(until) + LATE)
    for hour in sorted(hours):
        frames = [frame for stem, source in hours[hour] for frame in _frames(place, stem, source)]
        frame = pl.concat([frame_of_answers(()), *frames])
        inside = [_is_within(at, since, until) for at in frame["at"]]
        if any(inside):
            yield frame.filter(pl.Series(inside, dtype=pl.Boolean))


def find_record(place: RecordPlace, answer_id: str, now: datetime) -> AnswerRecord | None:
    """Return the record of an answer, or None. An id that tells its hour costs two hours' files, others a week's."""
    given = hour_of(answer_id)
    since = given or start_of_hour(now - SEARCHED)
    hours = _hours(place, since, (given or start_of_hour(now)) + LATE)
    for hour in sorted(hours, reverse=given is None):
        for stem, source in hours[hour]:
            found = _find_in(place, stem, source, answer_id)
            if found is not None:
                return found
    return None


def _find_in(place: RecordPlace, stem: str, source: Path | None, answer_id: str) -> AnswerRecord | None:
    if source is not None:
        with contextlib.suppress(FileNotFoundError):
            return _find_in_journal(source, answer_id)
    with _downloaded(place, stem) as table:
        return _find_in_table(table, answer_id) if table else None


def _find_in_table(table: Path, answer_id: str) -> AnswerRecord | None:
    if not any(answer_id in ids["answer_id"] for ids in read_batches(table, columns=["answer_id"])):
        return None
    matches = (batch.filter(pl.col("answer_id") == answer_id) for batch in read_batches(table))
    return next(answer for match in matches for answer in answers_of(match))


def _find_in_journal(path: Path, answer_id: str) -> AnswerRecord | None:
    needle = answer_id.encode("utf-8", "replace")
    with path.open("rb") as file:
        for line in file:
            if needle in line and line.endswith(b"\n"):
                with contextlib.suppress(ValidationError):
                    answer = AnswerRecord.model_validate_json(line)
                    if answer.answer_id == answer_id:
                        return answer
    return None


def _hours(place: RecordPlace, first: datetime, last: datetime) -> dict[str, list[tuple[str, Path | None]]]:
    """Return, by hour from `first` to `last`, the name of each file and its journal; None where it is rotated.

    Journals are listed first: one that is rotated meanwhile is then in both lists, never in none.
    """
    found: dict[str, Path | None] = {path.stem: path for path in journals(place)}
    day = first
    while day.date() <= last.date():
        for key in place.store.list(f"{day:%Y-%m-%d}/"):
            stem = key.rpartition("/")[2].removesuffix(PARQUET)
            if key.endswith(PARQUET) and STEM.fullmatch(stem):
                found[stem] = None
        day += timedelta(days=1)
    hours: dict[str, list[tuple[str, Path | None]]] = {}
    for stem in sorted(found):
        match = STEM.fullmatch(stem)
        assert match is not None
        if f"{first:{HOUR}}" <= match["hour"] <= f"{last:{HOUR}}":
            hours.setdefault(match["hour"], []).append((stem, found[stem]))
    return hours


def _frames(place: RecordPlace, stem: str, source: Path | None) -> Iterator[pl.DataFrame]:
    if source is not None:
        try:
            yield frame_of_answers(read_journal(source))
            return
        except FileNotFoundError:  # rotated since it was listed
            pass
    with _downloaded(place, stem) as table:
        yield from read_batches(table) if table else ()


@contextlib.contextmanager
def _downloaded(place: RecordPlace, stem: str) -> Iterator[Path | None]:
    with tempfile.TemporaryDirectory(prefix="ratchet-records-") as folder:
        table = Path(folder) / f"{stem}{PARQUET}"
        yield table if place.store.download(_key(stem), table) else None


def _key(stem: str) -> str:
    match = STEM.fullmatch(stem)
    assert match is not None
    return f"{match['day']}/{stem}{PARQUET}"


def _is_within(at: str, since: datetime, until: datetime) -> bool:
    """Return whether a record's time lies in the window; one without a readable time belongs to its hour."""
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        return True
    return since <= (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) < until
