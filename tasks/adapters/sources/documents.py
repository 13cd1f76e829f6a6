"""Files as documents: one a Markdown, text, rst or HTML file, one a line of JSONL or a row of Parquet with `text`.

JSONL and Parquet records may carry `title`, `id`, `family` and `seen_at` beside `text`. A document's id follows from
its place and its text; with an `id` of its own its place is `file#id`, so that it may move within the file.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.adapters.sources.lines import KEPT_OF_LONG_LINE, bounded_lines
from tasks.adapters.sources.raw_zone import DocumentRow, Place, RawZone
from tasks.adapters.sources.source_file import SourceFile
from tasks.adapters.system.progress import Progress
from tasks.core.records.schema import record_id
from tasks.core.sources.markup import SUFFIXES, read_page

JSONL, PARQUET = ".jsonl", ".parquet"
DOCUMENT_SUFFIXES = SUFFIXES | {JSONL, PARQUET}
RECORD_SUFFIXES = frozenset({JSONL, PARQUET})
SOURCE = "files"
_PARQUET_ROWS = 1024

OnRecord = Callable[[object, Place, object], None]


@dataclass(frozen=True)
class SourceTerms:
    """What holds for every record of a source."""

    licence: str
    max_record_bytes: int


def read_documents(files: Iterable[SourceFile], zone: RawZone, terms: SourceTerms) -> dict[str, str]:
    """Add every document of `files` to the raw zone and return the id of each by the names a conversation may use."""
    known: dict[str, str] = {}
    files = list(files)
    progress = Progress("ingest documents", len(files))
    for file in files:
        if file.suffix in RECORD_SUFFIXES:
            reader = _RecordReader(file, zone, terms, known)
            each_record(file, zone, terms.max_record_bytes, reader.read)
        else:
            _read_file(file, zone, terms, known)
        progress.advance()
    return known


def each_record(file: SourceFile, zone: RawZone, max_bytes: int, on_record: OnRecord) -> None:
    """Call `on_record(value, place, raw)` for each line or row of `file`; what is no JSON goes to the quarantine."""
    if file.suffix == PARQUET:
        _each_row(file, zone, on_record)
        return
    uri = file.place
    with file.open() as stream:
        for line in bounded_lines(stream, max_bytes):
            place = Place(uri, line.number)
            if line.is_too_long:
                zone.refuse(place, "line too long", line.data, num_bytes=line.num_bytes)
                continue
            try:
                value = orjson.loads(line.data)
            except orjson.JSONDecodeError as error:
                zone.refuse(place, _json_fault(line.data), line.data, detail=f"column {error.colno}")
                continue
            on_record(value, place, line.data)


def _json_fault(data: bytes) -> str:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return "not UTF-8"
    return "not JSON"


def _each_row(file: SourceFile, zone: RawZone, on_record: OnRecord) -> None:
    """Rows of a Parquet file, which needs seeking: an object is first copied beside the raw zone, which is private."""
    with file.open() as stream, tempfile.TemporaryFile(dir=zone.folder) as local:
        seekable: BinaryIO = stream
        if not file.path:
            while chunk := stream.read(1 << 20):
                local.write(chunk)
            local.seek(0)
            seekable = local
        try:
            for number, row in _rows(seekable):
                on_record(row, Place(file.place, number), row)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # the disk, not the file
                raise
            zone.refuse(Place(file.place), "not Parquet", b"", detail=type(error).__name__)


def _rows(stream: BinaryIO) -> Iterator[tuple[int, dict[str, object]]]:
    number = 0
    with pq.ParquetFile(stream) as table:
        for batch in table.iter_batches(_PARQUET_ROWS):
            for row in batch.to_pylist():
                number += 1
                yield number, row


def _read_file(file: SourceFile, zone: RawZone, terms: SourceTerms, known: dict[str, str]) -> None:
    place = Place(file.place)
    with file.open() as stream:
        data = stream.read(terms.max_record_bytes + 1)
    if len(data) > terms.max_record_bytes:
        zone.refuse(place, "file too long", data[:KEPT_OF_LONG_LINE], num_bytes=file.size)
        return
    try:
        content = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        zone.refuse(place, "not UTF-8", data)
        return
    page = read_page(content, file.suffix)
    if not page.text.strip():
        zone.refuse(place, "no text", data)
        return
    path = PurePosixPath(file.relative)
    row = DocumentRow(
        id=record_id(SOURCE, file.uri, page.text),
        family=str(PurePosixPath(file.uri).with_suffix("")),
        title=page.title or path.name,
        text=page.text,
        source=SOURCE,
        uri=file.uri,
        licence=terms.licence,
        seen_at=file.seen_at,
    )
    if zone.add_document(row, place):
        for name in (file.relative, file.uri, row.id):
            known.setdefault(name, row.id)


class _RecordReader:
    """Documents of one JSONL or Parquet file."""

    def __init__(self, file: SourceFile, zone: RawZone, terms: SourceTerms, known: dict[str, str]) -> None:
        self._file, self._zone, self._known = file, zone, known
        self._licence, self._seen_at = terms.licence, file.seen_at
        self._names: set[str] = set()

    def read(self, record: object, place: Place, raw: object) -> None:
        """Add the document in `record`, or refuse it."""
        fault = _document_fault(record)
        if fault is not None or not isinstance(record, Mapping):
            self._zone.refuse(place, fault or "not an object", raw)
            return
        name = str(record.get("id") or "")
        if name and name in self._names:
            self._zone.refuse(place, "duplicate id", raw)
            return
        row = self._row(record, name)
        if self._zone.add_document(row, place) and name:
            self._names.add(name)
            for alias in (name, row.uri, row.id):
                self._known.setdefault(alias, row.id)

    def _row(self, record: Mapping[Any, Any], name: str) -> DocumentRow:
        """Return the record as a row; with an id of its own its place is `file#id`."""
        text = record["text"]
        uri = f"{self._file.uri}#{name}" if name else self._file.uri
        identity = record_id(SOURCE, uri, text)
        return DocumentRow(
            id=identity,
            family=str(record.get("family") or (uri if name else f"{uri}#{identity}")),
            title=str(record.get("title") or "") or _first_words(text),
            text=text,
            source=SOURCE,
            uri=uri,
            licence=self._licence,
            seen_at=str(record.get("seen_at") or self._seen_at),
        )


def _document_fault(record: object) -> str | None:
    if not isinstance(record, Mapping):
        return "not an object"
    text = record.get("text")
    if not isinstance(text, str):
        return "no field text"
    return None if text and not text.isspace() else "no text"


def _first_words(text: str) -> str:
    return " ".join(text[:200].split()[:8])
