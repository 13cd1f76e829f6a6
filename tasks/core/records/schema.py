"""The record types of curation: documents, conversations and feedback, with ids that follow from their content.

A record keeps where it came from (`source`, `uri`), under which terms (`licence`) and when the source last changed
(`seen_at`), so that re-reading an unchanged source gives byte-identical records.
"""

import hashlib
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1

Role = Literal["system", "user", "assistant"]


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Document(Record):
    """A text that can hold an answer."""

    id: str = Field(description="Digest of source, uri and text: the same content has the same id everywhere.")
    family: str = Field(description="Documents of one family stay on one side of the split (a module, a file).")
    title: str = Field(description="The name a question uses for it: json.dumps, refunds.md.")
    text: str
    source: str = Field(description="The adapter that read it: python_reference, package_reference, files, feedback.")
    uri: str = Field(description="Where inside the source: a qualified name, a path, an s3:// address.")
    licence: str = Field(description="SPDX identifier, or 'unknown'.")
    seen_at: str = Field(description="ISO 8601 time at which the source says the content last changed.")


class Message(Record):
    role: Role
    content: str


class Conversation(Record):
    """A dialogue to learn from or to be measured on: OpenAI's `messages` plus what is known about the answer."""

    id: str = Field(description="Digest of source, uri and messages.")
    family: str = Field(description="Family of the documents that answer it; its own id where none is known.")
    messages: list[Message]
    document_ids: list[str] = Field(
        description="Documents that hold the answer; of an unanswerable question, those near it."
    )
    evidence: str = Field(description="Verbatim text of a document that holds the answer; empty where unknown.")
    answerable: bool = Field(description="False: the right answer says that the context does not contain it.")
    withhold: bool = Field(description="True: retrieval leaves out `document_ids`, so that no context can answer.")
    kind: str = Field(description="What is asked: purpose, default, module ...; 'free' where unknown.")
    phrasing: str = Field(description="Identifier of the wording; empty where it is nobody's template.")
    held_out: bool = Field(description="True: this wording is kept for eval and holdout, never trained on.")
    source: str
    uri: str
    licence: str
    seen_at: str

    @property
    def question(self) -> str:
        """The last user turn."""
        return next(message.content for message in reversed(self.messages) if message.role == "user")

    @property
    def answer(self) -> str:
        """The last assistant turn."""
        return next(message.content for message in reversed(self.messages) if message.role == "assistant")


class Feedback(Record):
    """A human's verdict on a served answer, as serving records it; `ingest` makes conversations of corrections."""

    answer_id: str = Field(description="Identifier of the served answer.")
    model: str = Field(description="Digest of the model version that answered.")
    question: str
    answer: str = Field(description="What the model said.")
    correction: str | None = Field(default=None, description="What it should have said: this becomes training data.")
    thumb: Literal["up", "down"] | None = None
    reason: str = ""
    document_ids: list[str] = Field(default_factory=list, description="Documents whose passages were in the context.")
    review: Literal["pending", "accepted", "rejected"] = "pending"
    recorded_at: str = Field(description="ISO 8601 time.")


RECORD_TYPES: dict[str, type[Record]] = {"document": Document, "conversation": Conversation, "feedback": Feedback}


def record_id(*parts: str) -> str:
    """Return 16 hex digits that follow from `parts` alone."""
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def json_schema(name: str) -> dict[str, object]:
    """Return the JSON schema of a record type, with its version in `$id`.

    Raises KeyError for an unknown name.
    """
    schema = RECORD_TYPES[name].model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"ratchet:{name}:{SCHEMA_VERSION}",
        **schema,
    }
