"""Journals hold the current hour's records as lines of JSON; rotation turns a finished one into a Parquet file.

Whoever writes a journal holds its lock (flock), so a journal without a holder was left by a process that is gone. Its
name is the writer's own and the content of the Parquet file follows from the journal, so a rotation that was killed
half-way is simply done again. A line that is not whole, the last of a killed process, is dropped.
"""

import contextlib
import fcntl
import logging
import os
import secrets
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path

from pydantic import ValidationError

from tasks.adapters.records.record_place import HOUR, JOURNAL, PARQUET, STEM, RecordPlace, start_of_hour, table_key
from tasks.adapters.records.record_table import RECORD_SCHEMA, frame_of_answers
from tasks.adapters.storage.files import flush_folder
from tasks.adapters.storage.tables import BATCH_ROWS, table_writer
from tasks.core.records.answer import AnswerRecord

logger = logging.getLogger(__name__)


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
        """Release the lock: the journal may be rotated now."""
        os.close(self._descriptor)


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
        place.store.upload(table_key(journal.stem), table)
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
