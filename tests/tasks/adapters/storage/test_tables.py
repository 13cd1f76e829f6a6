"""Tables of records: streamed, and the same bytes for the same rows."""

from pathlib import Path

import polars as pl
import pytest

from tasks.adapters.storage.tables import DOCUMENT_SCHEMA, frame_of, num_rows, read_batches, table_writer
from tasks.core.records.schema import Document


def documents(count: int) -> pl.DataFrame:
    records = [
        Document(id=str(i), family="f", title="t", text="x" * i, source="s", uri="u", licence="MIT", seen_at="now")
        for i in range(count)
    ]
    return frame_of(records, DOCUMENT_SCHEMA)


def write(path: Path, frame: pl.DataFrame) -> bytes:
    with table_writer(path, DOCUMENT_SCHEMA) as writer:
        writer.write(frame)
    return path.read_bytes()


def test_rows_come_back_in_batches_and_in_order(tmp_path: Path) -> None:
    frame = documents(5)
    write(tmp_path / "d.parquet", frame)
    batches = list(read_batches(tmp_path / "d.parquet", rows=2))
    assert [batch.height for batch in batches] == [2, 2, 1]
    assert pl.concat(batches).equals(frame)
    assert num_rows(tmp_path / "d.parquet") == 5


def test_equal_rows_are_equal_bytes(tmp_path: Path) -> None:
    assert write(tmp_path / "a.parquet", documents(3)) == write(tmp_path / "b.parquet", documents(3))


def test_a_table_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), table_writer(tmp_path / "d.parquet", DOCUMENT_SCHEMA) as writer:
        writer.write(documents(1))
        raise RuntimeError
    assert not (tmp_path / "d.parquet").exists()


def test_a_sample_reads_the_first_of_so_many_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "documents.parquet"
    with table_writer(path, DOCUMENT_SCHEMA) as writer:
        for number in range(5):
            row = dict.fromkeys(DOCUMENT_SCHEMA.names, "") | {"id": str(number)}
            writer.write(pl.DataFrame([row]))
    assert [id_ for batch in read_batches(path, every=2) for id_ in batch["id"]] == ["0", "2", "4"]
    assert [batch.columns for batch in read_batches(path, columns=["id"], every=5)] == [["id"]]
