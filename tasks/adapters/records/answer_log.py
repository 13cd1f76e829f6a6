"""Read the records of served answers, by time window or by id; open journals are read too.

Hours are those (UTC) in which a record was written. Caveat: hours are found by name, so the clock of a writer must be
roughly right.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from pydantic import ValidationError

from tasks.adapters.records.journal import journals, read_journal
from tasks.adapters.records.record_place import HOUR, PARQUET, STEM, RecordPlace, start_of_hour, table_key
from tasks.adapters.records.record_table import answers_of, frame_of_answers
from tasks.adapters.storage.tables import read_batches
from tasks.core.records.answer import AnswerRecord
from tasks.core.records.answer_id import hour_of

MAX_DELAY = timedelta(hours=1)  # a record is written at most so long after its time
MAX_AGE = timedelta(days=7)  # how far back an id is looked for that does not tell its hour


def read_records(place: RecordPlace, since: datetime, until: datetime) -> pl.DataFrame:
    """Return the records of answers given from `since` up to, not including, `until`, oldest hour first."""
    return pl.concat([frame_of_answers(()), *read_hours(place, since, until)], rechunk=True)


def read_hours(place: RecordPlace, since: datetime, until: datetime) -> Iterator[pl.DataFrame]:
    """Yield the records as `read_records` does, an hour at a time. Raises ExternalError for a store out of reach."""
    hours = _hours(place, start_of_hour(since), start_of_hour(until) + MAX_DELAY)
    for hour in sorted(hours):
        frames = [frame for stem, source in hours[hour] for frame in _frames(place, stem, source)]
        frame = pl.concat([frame_of_answers(()), *frames])
        inside = [_is_within(at, since, until) for at in frame["at"]]
        if any(inside):
            yield frame.filter(pl.Series(inside, dtype=pl.Boolean))


def find_record(place: RecordPlace, answer_id: str, now: datetime) -> AnswerRecord | None:
    """Return the record of an answer, or None. An id that tells its hour costs two hours' files, others a week's."""
    given = hour_of(answer_id)
    since = given or start_of_hour(now - MAX_AGE)
    hours = _hours(place, since, (given or start_of_hour(now)) + MAX_DELAY)
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
        yield table if place.store.download(table_key(stem), table) else None


def _is_within(at: str, since: datetime, until: datetime) -> bool:
    """Return whether a record's time lies in the window; one without a readable time belongs to its hour."""
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        return True
    return since <= (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) < until
