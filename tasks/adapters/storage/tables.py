"""Records as Parquet, read and written a batch at a time (pyarrow, polars).

Every curate stage reads and writes `documents.parquet` and `conversations.parquet` with these schemas. Equal rows give
equal bytes: one writer, fixed row groups, no time stamp.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.records.schema import SCHEMA_VERSION, Record

BATCH_ROWS = 8192
DOCUMENTS = "documents.parquet"
CONVERSATIONS = "conversations.parquet"

_TEXT = pa.string()
_MESSAGE = pa.struct([pa.field("role", _TEXT), pa.field("content", _TEXT)])

DOCUMENT_SCHEMA = pa.schema(
    [(name, _TEXT) for name in ("id", "family", "title", "text", "source", "uri", "licence", "seen_at")],
    metadata={"ratchet.schema": f"document/{SCHEMA_VERSION}"},
)
CONVERSATION_SCHEMA = pa.schema(
    [
        ("id", _TEXT),
        ("family", _TEXT),
        ("messages", pa.list_(_MESSAGE)),
        ("document_ids", pa.list_(_TEXT)),
        ("evidence", _TEXT),
        ("answerable", pa.bool_()),
        ("withhold", pa.bool_()),
        ("kind", _TEXT),
        ("phrasing", _TEXT),
        ("held_out", pa.bool_()),
        ("source", _TEXT),
        ("uri", _TEXT),
        ("licence", _TEXT),
        ("seen_at", _TEXT),
    ],
    metadata={"ratchet.schema": f"conversation/{SCHEMA_VERSION}"},
)


class Writer(Protocol):
    def write(self, frame: pl.DataFrame) -> None:
        """Append the rows of `frame`; its columns must be those of the schema, in any order."""


class _ParquetWriter:
    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd", write_page_index=False)

    def write(self, frame: pl.DataFrame) -> None:
        if frame.height:
            table = frame.select(self._schema.names).to_arrow().cast(self._schema)
            self._writer.write_table(table, row_group_size=BATCH_ROWS)

    def close(self) -> None:
        self._writer.close()


@contextmanager
def table_writer(path: Path, schema: pa.Schema) -> Iterator[Writer]:
    """Yield a writer whose file appears at `path` only when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    writer = _ParquetWriter(part, schema)
    try:
        yield writer
    finally:
        writer.close()
    part.replace(path)


def read_batches(
    path: Path, columns: list[str] | None = None, rows: int = BATCH_ROWS, every: int = 1
) -> Iterator[pl.DataFrame]:
    """Yield frames of at most `rows` rows in file order; memory does not grow with the file.

    every: read the first of so many row groups alone, for a sample.
    """
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(rows, range(0, file.num_row_groups, every), columns=columns):
            frame = pl.from_arrow(batch)
            assert isinstance(frame, pl.DataFrame)
            yield frame


def num_rows(path: Path) -> int:
    """Return the number of rows without reading them."""
    return int(pq.read_metadata(path).num_rows)


def frame_of(records: Iterable[Record], schema: pa.Schema) -> pl.DataFrame:
    """Return the records as a frame with the columns of `schema`."""
    table = pa.Table.from_pylist([record.model_dump() for record in records], schema=schema)
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame
