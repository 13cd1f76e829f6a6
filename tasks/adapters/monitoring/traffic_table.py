"""Reads and writes windows of traffic and their references as Parquet (pyarrow).

Both have one schema. The file's metadata hold the digest of the embedder: vectors of another embedder are not
comparable, so they are dropped on reading.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.adapters.storage.tables import table_writer
from tasks.core.errors import DataError
from tasks.core.monitoring.traffic_row import TrafficRow

logger = logging.getLogger(__name__)

EMBEDDER = b"ratchet.embedder"
EMBEDDING = "question_embedding"
_TEXT = pa.string()
TRAFFIC_SCHEMA = pa.schema(
    [
        ("answer_id", _TEXT),
        ("at", _TEXT),
        ("key_id", _TEXT),
        ("question", _TEXT),
        ("answer", _TEXT),
        ("question_length", pa.int64()),
        ("retrieval_score", pa.float64()),
        ("answer_length", pa.int64()),
        ("abstained", pa.bool_()),
        ("ungrounded", pa.bool_()),
        ("quality", pa.bool_()),
        ("latency_s", pa.float64()),
        ("cost", pa.float64()),
        (EMBEDDING, pa.list_(pa.float32())),
    ]
)


def write_traffic(path: Path, rows: Sequence[TrafficRow], vectors: np.ndarray, embedder: str) -> None:
    """Write the rows, each with the vector of its question; `embedder`: the digest of the embedder."""
    table = pa.Table.from_pylist(list(rows), schema=TRAFFIC_SCHEMA.remove(len(TRAFFIC_SCHEMA) - 1))
    found = pa.array(list(vectors.astype(np.float32)), type=pa.list_(pa.float32()))
    frame = pl.from_arrow(table.append_column(EMBEDDING, found))
    assert isinstance(frame, pl.DataFrame)
    metadata = {EMBEDDER: embedder.encode(), b"ratchet.schema": b"traffic/1"}
    with table_writer(path, TRAFFIC_SCHEMA.with_metadata(metadata)) as writer:
        writer.write(frame)


def read_traffic(path: Path, embedder: str | None = None) -> pl.DataFrame:
    """Return the rows; without vectors where another embedder than `embedder` made them. Raises DataError."""
    try:
        frame = pl.read_parquet(path)
        made_by = embedder_of(path)
        frame = frame.select(TRAFFIC_SCHEMA.names)
    except (OSError, pa.ArrowException, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path} is no table of traffic ({type(error).__name__}): collect a window again.") from None
    if embedder is None or made_by == embedder:
        return frame
    logger.warning("%s was embedded by another model, so the questions' meaning is not compared", path.name)
    return frame.with_columns(pl.lit(None, dtype=pl.List(pl.Float32)).alias(EMBEDDING))


def embedder_of(path: Path) -> str:
    """Return the digest of the embedder that made the vectors."""
    metadata: dict[bytes, bytes] = pq.read_schema(path).metadata or {}
    return metadata.get(EMBEDDER, b"").decode()


def no_traffic() -> pl.DataFrame:
    """Return a table without rows."""
    frame = pl.from_arrow(TRAFFIC_SCHEMA.empty_table())
    assert isinstance(frame, pl.DataFrame)
    return frame
