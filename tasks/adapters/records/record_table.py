"""The Parquet schema of answer records, and conversion between records and table rows (pyarrow, polars).

Messages keep role and content alone; parameters are stored as JSON text.
"""

import json
from collections.abc import Iterable, Iterator

import polars as pl
import pyarrow as pa

from tasks.core.records.answer import AnswerRecord

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
