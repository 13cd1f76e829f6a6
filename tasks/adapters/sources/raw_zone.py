"""The raw zone: where every source puts its records, and what it refuses (pyarrow through tables).

Writes `documents.parquet`, `conversations.parquet` and `quarantine.jsonl` into one private folder. Records are rows,
not models, and travel in batches: this is the hot path. Nothing here logs a value, since any value may be personal.
Caveat: to notice a repeated id it keeps 8 bytes (some 100 as Python counts) for each record.
"""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import polars as pl
import pyarrow as pa

from tasks.adapters.storage.files import whole_file
from tasks.adapters.storage.tables import (
    BATCH_ROWS,
    CONVERSATION_SCHEMA,
    CONVERSATIONS,
    DOCUMENT_SCHEMA,
    DOCUMENTS,
    Writer,
    table_writer,
)

QUARANTINE = "quarantine.jsonl"
BATCH_CHARS = 32_000_000

Turns = list[dict[str, str]]


class DocumentRow(NamedTuple):
    """A `records.Document` as a row, fields in the order of the schema."""

    id: str
    family: str
    title: str
    text: str
    source: str
    uri: str
    licence: str
    seen_at: str


class ConversationRow(NamedTuple):
    """A `records.Conversation` as a row, fields in the order of the schema."""

    id: str
    family: str
    messages: Turns
    document_ids: list[str]
    evidence: str
    answerable: bool
    withhold: bool
    kind: str
    phrasing: str
    held_out: bool
    source: str
    uri: str
    licence: str
    seen_at: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands in its source; `line` counts from 1, 0 is the whole file."""

    uri: str
    line: int = 0


@dataclass
class Tally:
    """What one source has given so far."""

    documents: int = 0
    conversations: int = 0
    skipped: int = 0
    unanswerable: int = 0
    held_out: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    _digest: Any = field(default_factory=hashlib.sha256)

    @property
    def count(self) -> int:
        return self.documents + self.conversations

    @property
    def quarantined(self) -> int:
        return self.reasons.total()

    @property
    def digest(self) -> str:
        """Digest of the ids in order: equal content gives an equal digest."""
        return str(self._digest.hexdigest())

    def note_document(self, row: DocumentRow) -> None:
        """Count a document."""
        self.documents += 1
        self._digest.update(row.id.encode())

    def note_conversation(self, row: ConversationRow) -> None:
        """Count a conversation."""
        self.conversations += 1
        self.unanswerable += not row.answerable
        self.held_out += row.held_out
        self.kinds[row.kind] += 1
        self._digest.update(row.id.encode())


class _Batch:
    """Rows on their way to a table."""

    def __init__(self, writer: Writer, schema: pa.Schema) -> None:
        self._writer, self._schema = writer, schema
        self._rows: list[Sequence[Any]] = []
        self._num_chars = 0

    def add(self, row: Sequence[Any], num_chars: int) -> None:
        self._rows.append(row)
        self._num_chars += num_chars
        if len(self._rows) >= BATCH_ROWS or self._num_chars >= BATCH_CHARS:
            self.flush()

    def flush(self) -> None:
        if self._rows:
            columns = [
                pa.array(column, kind.type)
                for column, kind in zip(zip(*self._rows, strict=True), self._schema, strict=True)
            ]
            frame = pl.from_arrow(pa.Table.from_arrays(columns, schema=self._schema))
            assert isinstance(frame, pl.DataFrame)
            self._writer.write(frame)
        self._rows, self._num_chars = [], 0


class RawZone:
    """Takes records and refusals from the sources, one source after the other."""

    def __init__(self, documents: Writer, conversations: Writer, quarantine: TextIO, folder: Path) -> None:
        self.folder = folder
        self.tallies: list[Tally] = []
        self._documents = _Batch(documents, DOCUMENT_SCHEMA)
        self._conversations = _Batch(conversations, CONVERSATION_SCHEMA)
        self._quarantine = quarantine
        self._families: dict[int, str] = {}
        self._conversation_ids: set[int] = set()

    @property
    def tally(self) -> Tally:
        """The counts of the source that is being read."""
        return self.tallies[-1]

    def begin_source(self) -> Tally:
        """Start counting for the next source."""
        self.tallies.append(Tally())
        return self.tally

    def family_of(self, document_id: str) -> str | None:
        """Return the family of a document that has been added, else None."""
        return self._families.get(_key(document_id))

    def add_document(self, row: DocumentRow, place: Place) -> bool:
        """Add a document; a repeated id is refused. Returns whether it was added."""
        key = _key(row.id)
        if key in self._families:
            self.refuse(place, "duplicate id", row.text)
            return False
        self._families[key] = row.family
        self._documents.add(row, len(row.text))
        self.tally.note_document(row)
        return True

    def add_conversation(self, row: ConversationRow, place: Place) -> bool:
        """Add a conversation; a repeated id is refused. Returns whether it was added."""
        key = _key(row.id)
        if key in self._conversation_ids:
            self.refuse(place, "duplicate id", json.dumps(row.messages, ensure_ascii=False))
            return False
        self._conversation_ids.add(key)
        self._conversations.add(row, sum(len(turn["content"]) for turn in row.messages))
        self.tally.note_conversation(row)
        return True

    def refuse(self, place: Place, reason: str, raw: object, *, detail: str = "", num_bytes: int | None = None) -> None:
        """Keep what could not be read, with the reason; `num_bytes` is its whole length where `raw` is the beginning.

        The reason is one of few, since reports count it; what is particular goes into `detail`.
        """
        self.tally.reasons[reason] += 1
        entry: dict[str, object] = {"source": len(self.tallies), "uri": place.uri, "line": place.line, "reason": reason}
        entry |= {"detail": detail} if detail else {}
        entry |= _kept(raw)
        entry |= {"bytes": num_bytes, "cut": True} if num_bytes is not None else {}
        self._quarantine.write(json.dumps(entry, sort_keys=True, ensure_ascii=True) + "\n")

    def num_families(self) -> int:
        """Return how many families the documents form."""
        return len(set(self._families.values()))

    def flush(self) -> None:
        """Write what is still held back."""
        self._documents.flush()
        self._conversations.flush()


@contextmanager
def open_raw_zone(folder: Path) -> Iterator[RawZone]:
    """Yield the raw zone in `folder`; its files appear when the block ends without an error."""
    with ExitStack() as stack:
        zone = RawZone(
            stack.enter_context(table_writer(folder / DOCUMENTS, DOCUMENT_SCHEMA)),
            stack.enter_context(table_writer(folder / CONVERSATIONS, CONVERSATION_SCHEMA)),
            stack.enter_context(whole_file(folder / QUARANTINE)),
            folder,
        )
        yield zone
        zone.flush()


def _key(record_id: str) -> int:
    return int(record_id, 16)


def _kept(raw: object) -> dict[str, object]:
    """Return `raw` as text where it is text, a row as JSON, else as base64, so that no byte is lost."""
    if not isinstance(raw, bytes):
        return {"raw": raw if isinstance(raw, str) else json.dumps(raw, ensure_ascii=False, default=str)}
    try:
        return {"raw": raw.decode("utf-8")}
    except UnicodeDecodeError:
        return {"raw_base64": base64.b64encode(raw).decode("ascii")}
