from tasks.adapters.records.record_table import RECORD_SCHEMA
from tasks.core.records.answer import AnswerRecord


def test_the_columns_are_the_records_fields() -> None:
    assert RECORD_SCHEMA.names == list(AnswerRecord.model_fields)
