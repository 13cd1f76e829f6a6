"""Conversations in the forms people keep them, brought into one: OpenAI's `messages`.

Recognised a record at a time: OpenAI messages, ShareGPT (`conversations` with from/value), Alpaca
(instruction/input/output), and pairs (prompt/completion, prompt/response, question/answer). Pure; the reasons it gives
name fields, never values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.core.chat.abstention import is_abstention
from tasks.core.chat.prompt import ABSTENTION

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
}
PAIRS = (("prompt", "completion"), ("prompt", "response"), ("question", "answer"))


class UnrecognisedError(ValueError):
    """The record is no conversation in a known form; the message says which field is at fault."""


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation with the hints that its record gave about the documents behind it."""

    turns: list[dict[str, str]]
    id: str
    documents: tuple[str, ...]
    context: str

    @property
    def answer(self) -> str:
        return self.turns[-1]["content"]

    @property
    def is_abstention(self) -> bool:
        """Return whether the last answer says that it has none."""
        return is_abstention(self.answer)


def recognise(record: object) -> Chat:
    """Return the conversation that `record` holds. Raises UnrecognisedError."""
    if not isinstance(record, Mapping):
        raise UnrecognisedError("not an object")
    turns = _turns(record)
    if not any(turn["role"] == "user" for turn in turns):
        raise UnrecognisedError("no user turn")
    if turns[-1]["role"] != "assistant":
        raise UnrecognisedError("last turn is not the assistant's")
    if not all(turn["content"].strip() for turn in turns):
        raise UnrecognisedError("empty turn")
    if is_abstention(turns[-1]["content"]):
        turns[-1] = {"role": "assistant", "content": ABSTENTION}
    return Chat(turns, _text(record, "id"), _documents(record), _text(record, "context"))


def _turns(record: Mapping[str, object]) -> list[dict[str, str]]:
    if record.get("messages") is not None:
        return _listed(record["messages"], "messages", "role", "content")
    if record.get("conversations") is not None:
        return _listed(record["conversations"], "conversations", "from", "value")
    if record.get("instruction") is not None and record.get("output") is not None:
        parts = [_required(record, "instruction"), _text(record, "input")]
        return _pair("\n\n".join(part for part in parts if part.strip()), _required(record, "output"))
    for question, answer in PAIRS:
        if record.get(question) is not None and record.get(answer) is not None:
            return _from_pair(record, question, answer)
    raise UnrecognisedError("none of messages, conversations, instruction/output, prompt/completion, question/answer")


def _from_pair(record: Mapping[str, object], question: str, answer: str) -> list[dict[str, str]]:
    """A pair of texts, or of lists of messages, as trainers write it."""
    if isinstance(record[question], str):
        return _pair(_required(record, question), _required(record, answer))
    return [turn for name in (question, answer) for turn in _listed(record[name], name, "role", "content")]


def _pair(question: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def _listed(value: object, name: str, role_field: str, content_field: str) -> list[dict[str, str]]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise UnrecognisedError(f"{name} is not a list of turns")
    turns = []
    for turn in value:
        if not isinstance(turn, Mapping):
            raise UnrecognisedError(f"{name} holds something that is no object")
        role = ROLES.get(str(turn.get(role_field, turn.get("role", ""))).lower())
        if role is None:
            raise UnrecognisedError(f"{name} holds a {role_field} that is not user, assistant or system")
        turns.append({"role": role, "content": _content(turn.get(content_field, turn.get("content")), content_field)})
    return turns


def _content(value: object, name: str) -> str:
    """Return a turn's text; OpenAI also writes it as a list of parts."""
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence) and value and all(_is_text_part(part) for part in value):
        return "\n".join(part["text"] for part in value)
    raise UnrecognisedError(f"{name} is not text")


def _is_text_part(part: object) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str)


def _required(record: Mapping[str, object], name: str) -> str:
    value = record[name]
    if not isinstance(value, str):
        raise UnrecognisedError(f"{name} is not text")
    return value


def _text(record: Mapping[str, object], name: str) -> str:
    value = record.get(name)
    if value is None:
        return ""
    if isinstance(value, (str, int)):
        return str(value)
    raise UnrecognisedError(f"{name} is not text")


def _documents(record: Mapping[str, object]) -> tuple[str, ...]:
    value = record.get("documents") or record.get("document_ids") or ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Sequence) and all(isinstance(name, str) for name in value):
        return tuple(value)
    raise UnrecognisedError("documents is not a list of names")
