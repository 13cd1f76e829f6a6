"""Records: ids follow from content, schemas are versioned and agree with the tables."""

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.adapters.storage.tables import CONVERSATION_SCHEMA, DOCUMENT_SCHEMA
from tasks.core.records.schema import RECORD_TYPES, Conversation, Document, Message, json_schema, record_id

CONVERSATION = Conversation(
    id="c",
    family="json",
    messages=[
        Message(role="user", content="What is 1?"),
        Message(role="assistant", content="One."),
        Message(role="user", content="And 2?"),
        Message(role="assistant", content="Two."),
    ],
    document_ids=["d"],
    evidence="2 is two",
    answerable=True,
    withhold=False,
    kind="free",
    phrasing="",
    held_out=False,
    source="files",
    uri="a.jsonl:1",
    licence="unknown",
    seen_at="2026-01-01T00:00:00+00:00",
)


@given(st.lists(st.text(), min_size=1), st.lists(st.text(), min_size=1))
def test_equal_parts_give_equal_ids_and_different_parts_different_ones(one: list[str], other: list[str]) -> None:
    if any("\x1f" in part for part in one + other):
        return
    assert (record_id(*one) == record_id(*other)) == (one == other)


def test_the_last_turns_are_the_question_and_the_answer() -> None:
    assert (CONVERSATION.question, CONVERSATION.answer) == ("And 2?", "Two.")


@pytest.mark.parametrize(("record", "schema"), [(Document, DOCUMENT_SCHEMA), (Conversation, CONVERSATION_SCHEMA)])
def test_tables_have_the_columns_of_the_record(record: type[Document], schema: object) -> None:
    assert list(record.model_fields) == schema.names  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", RECORD_TYPES)
def test_a_schema_is_valid_and_carries_its_version(name: str) -> None:
    schema = json_schema(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"ratchet:{name}:1"


def test_a_record_satisfies_its_schema() -> None:
    jsonschema.validate(CONVERSATION.model_dump(), json_schema("conversation"))
