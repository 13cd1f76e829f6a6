"""Conversations in other people's forms."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.chat.abstention import is_abstention
from tasks.core.chat.prompt import ABSTENTION
from tasks.core.sources.chat_formats import UnrecognisedError, recognise

QUESTION = {"role": "user", "content": "How long?"}
ANSWER = {"role": "assistant", "content": "Two days."}
SYSTEM = {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    "record",
    [
        {"messages": [QUESTION, ANSWER]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "How long?"}]}, ANSWER]},
        {"conversations": [{"from": "human", "value": "How long?"}, {"from": "gpt", "value": "Two days."}]},
        {"instruction": "How long?", "input": "", "output": "Two days."},
        {"prompt": "How long?", "completion": "Two days."},
        {"prompt": [QUESTION], "completion": [ANSWER]},
        {"prompt": "How long?", "response": "Two days."},
        {"question": "How long?", "answer": "Two days."},
    ],
    ids=["messages", "parts", "sharegpt", "alpaca", "pair", "message-pair", "response", "question"],
)
def test_each_known_form_becomes_the_same_messages(record: dict[str, object]) -> None:
    assert recognise(record).turns == [QUESTION, ANSWER]


def test_system_and_earlier_turns_are_kept() -> None:
    turns = [SYSTEM, QUESTION, ANSWER, {"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "Yes."}]
    assert recognise({"messages": turns}).turns == turns
    developer = {"role": "developer", "content": "Be brief."}
    assert recognise({"messages": [developer, QUESTION, ANSWER]}).turns[0] == SYSTEM


def test_alpaca_input_follows_the_instruction() -> None:
    chat = recognise({"instruction": "Translate.", "input": "Hallo", "output": "Hello"})
    assert chat.turns[0]["content"] == "Translate.\n\nHallo"


def test_hints_are_kept() -> None:
    chat = recognise({"messages": [QUESTION, ANSWER], "id": 7, "documents": ["a.md"], "context": "Takes two days."})
    assert (chat.id, chat.documents, chat.context) == ("7", ("a.md",), "Takes two days.")
    assert recognise({"messages": [QUESTION, ANSWER], "document_ids": "a.md"}).documents == ("a.md",)


@pytest.mark.parametrize(
    ("record", "fault"),
    [
        (["no object"], "not an object"),
        ({}, "none of"),
        ({"messages": []}, "messages is not a list of turns"),
        ({"messages": "text"}, "messages is not a list of turns"),
        ({"messages": ["text"]}, "no object"),
        ({"messages": [{"role": "tool", "content": "x"}, ANSWER]}, "not user, assistant or system"),
        ({"messages": [QUESTION, {"role": "assistant", "content": None}]}, "content is not text"),
        ({"messages": [QUESTION, {"role": "assistant", "content": [{"type": "image_url"}]}]}, "content is not text"),
        ({"messages": [QUESTION]}, "last turn"),
        ({"messages": [SYSTEM, ANSWER]}, "no user turn"),
        ({"messages": [QUESTION, {"role": "assistant", "content": "  "}]}, "empty turn"),
        ({"prompt": "x", "completion": 3}, "completion is not text"),
        ({"messages": [QUESTION, ANSWER], "documents": [1]}, "documents is not a list of names"),
        ({"messages": [QUESTION, ANSWER], "context": ["x"]}, "context is not text"),
    ],
)
def test_what_is_no_conversation_is_refused_with_the_field_at_fault(record: object, fault: str) -> None:
    with pytest.raises(UnrecognisedError, match=fault):
        recognise(record)


@pytest.mark.parametrize(
    "answer", [ABSTENTION, "the context doesn't say.", "I don't know.", "Sorry, I cannot tell.", "I do not know that."]
)
def test_an_abstention_in_any_words_becomes_the_one_we_use(answer: str) -> None:
    chat = recognise({"question": "How long?", "answer": answer})
    assert chat.is_abstention
    assert chat.answer == ABSTENTION


@pytest.mark.parametrize("answer", ["Two days.", "Ask whether the context says so.", "I know. " * 30])
def test_an_answer_is_no_abstention(answer: str) -> None:
    assert not is_abstention(answer)


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=9),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(
                    ["messages", "role", "content", "conversations", "from", "value", "prompt", "completion", "id"]
                ),
                x,
            )
        ),
        max_leaves=12,
    )
)
def test_any_value_is_recognised_or_refused(record: object) -> None:
    with contextlib.suppress(UnrecognisedError):
        assert recognise(record).turns[-1]["role"] == "assistant"
