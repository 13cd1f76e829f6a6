"""The numbers a validation suite sees."""

import numpy as np
import polars as pl
import pytest

from tasks.adapters.storage.tables import CONVERSATION_SCHEMA, DOCUMENT_SCHEMA, frame_of
from tasks.core.chat.prompt import ABSTENTION
from tasks.core.curation.validation_features import conversation_features, copies, document_features, id_hashes, said
from tasks.core.records.schema import Conversation, Document, Message

DOCUMENT = Document(
    id="d1",
    family="f",
    title="t",
    text="some text",
    source="s",
    uri="u",
    licence="MIT",
    seen_at="2024-05-01T12:00:00+00:00",
)
CONVERSATION = Conversation(
    id="c1",
    family="f",
    messages=[Message(role="user", content="why?"), Message(role="assistant", content="because")],
    document_ids=["d1"],
    evidence="",
    answerable=True,
    withhold=False,
    kind="free",
    phrasing="",
    held_out=False,
    source="s",
    uri="u",
    licence="MIT",
    seen_at="2024-05-01",
)
KNOWN = np.sort(id_hashes(pl.Series(["d1", "d2"])))


def of_document(**changes: object) -> dict[str, object]:
    """Return the features of a document that differs in `changes` from a good one."""
    return document_features(frame_of([DOCUMENT.model_copy(update=changes)], DOCUMENT_SCHEMA)).row(0, named=True)


def of_conversation(*turns: tuple[str, str], **changes: object) -> dict[str, object]:
    """Return the features of a conversation with `turns`."""
    messages = [Message.model_construct(role=role, content=content) for role, content in turns] or CONVERSATION.messages
    record = CONVERSATION.model_copy(update={"messages": messages, **changes})
    return conversation_features(frame_of([record], CONVERSATION_SCHEMA), KNOWN).row(0, named=True)


def test_a_good_document() -> None:
    assert of_document() == {
        "empty_fields": 0,
        "text_length": 9,
        "title_length": 1,
        "undecodable_share": 0,
        "control_share": 0,
        "seen_at_is_time": True,
    }


def test_empty_fields_are_counted() -> None:
    assert of_document(title="", licence="")["empty_fields"] == 2


@pytest.mark.parametrize("text", ["caf\ufffd au lait", "cafÃ© au lait", "itâ€™s late"])
def test_traces_of_a_wrong_encoding_are_seen(text: str) -> None:
    assert of_document(text=text)["undecodable_share"] > 0.05  # type: ignore[operator]


@pytest.mark.parametrize("text", ["café, naïve – “quoted” it’s", "Ã la carte", "面"])
def test_right_accents_and_quotes_are_no_such_traces(text: str) -> None:
    assert of_document(text=text)["undecodable_share"] == 0


@pytest.mark.parametrize("time", ["2024-05-01", "2024-05-01T12:00:00Z", "2024-05-01 12:00:00.5+0200"])
def test_times(time: str) -> None:
    assert of_document(seen_at=time)["seen_at_is_time"]


@pytest.mark.parametrize("time", ["", "yesterday", "1.5.2024", "2024-5-1"])
def test_what_is_no_time(time: str) -> None:
    assert not of_document(seen_at=time)["seen_at_is_time"]


def test_a_good_conversation() -> None:
    features = of_conversation()
    assert features["num_turns"] == 2
    assert features["roles_alternate"]
    assert features["ends_with_assistant"]
    assert features["num_empty_turns"] == 0
    assert features["num_unknown_documents"] == 0
    assert features["answerable_unless_abstaining"]


def test_a_system_message_is_no_turn() -> None:
    features = of_conversation(("system", "be kind"), ("user", "hi"), ("assistant", "hello"))
    assert features["num_turns"] == 2
    assert features["roles_alternate"]


@pytest.mark.parametrize(
    "roles", [["assistant", "user"], ["user", "user", "assistant"], ["user", "system", "assistant"], ["robot"]]
)
def test_roles_that_do_not_alternate(roles: list[str]) -> None:
    assert not of_conversation(*[(role, "x") for role in roles])["roles_alternate"]


def test_blank_turns_are_empty_and_a_question_alone_has_no_answer() -> None:
    features = of_conversation(("user", " \n"), ("assistant", ""), ("user", "x"))
    assert features["num_empty_turns"] == 2
    assert not features["ends_with_assistant"]


def test_no_message_at_all() -> None:
    record = frame_of([CONVERSATION], CONVERSATION_SCHEMA).with_columns(
        messages=pl.lit([]).cast(pl.List(pl.Struct({"role": pl.String, "content": pl.String})))
    )
    features = conversation_features(record, KNOWN).row(0, named=True)
    assert (features["num_turns"], features["roles_alternate"], features["ends_with_assistant"]) == (0, False, False)


def test_unknown_documents_are_counted() -> None:
    assert of_conversation(document_ids=["d2", "d3", "zz"])["num_unknown_documents"] == 2
    assert of_conversation(document_ids=[])["num_unknown_documents"] == 0
    assert (
        conversation_features(frame_of([CONVERSATION], CONVERSATION_SCHEMA), KNOWN[:0])["num_unknown_documents"][0] == 1
    )


def test_an_abstention_must_be_labelled_unanswerable() -> None:
    abstention = [("user", "why?"), ("assistant", ABSTENTION)]
    assert not of_conversation(*abstention)["answerable_unless_abstaining"]
    assert of_conversation(*abstention, answerable=False)["answerable_unless_abstaining"]
    assert not of_conversation(answerable=False)["answerable_unless_abstaining"]


def test_copies_are_numbered_in_order() -> None:
    assert copies(id_hashes(pl.Series(["a", "b", "a", "a"]))).to_list() == [1, 1, 2, 3]


def test_said_is_what_all_messages_say() -> None:
    assert said(frame_of([CONVERSATION], CONVERSATION_SCHEMA)).to_list() == ["why?\nbecause"]
