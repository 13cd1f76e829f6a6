"""Conversations in files, and what ties them to documents."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.adapters.sources.conversations import read_conversations
from tasks.adapters.sources.documents import SourceTerms, read_documents
from tasks.adapters.sources.listing import list_files
from tasks.core.chat.prompt import ABSTENTION

TERMS = SourceTerms("MIT", 100_000)
Write = Callable[[str, str | bytes], Any]


def pair(question: str, answer: str = "Two days.", **hints: object) -> dict[str, object]:
    return {"question": question, "answer": answer, **hints}


def lines(*records: object) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def test_without_hints_a_conversation_is_its_own_family(write: Write, raw_zone: Any, outcome: Any) -> None:
    with raw_zone() as zone:
        read_conversations([write("c.jsonl", lines(pair("How long?")))], zone, TERMS, {})
    row = outcome.conversations[0]
    assert row["family"] == row["id"]
    assert (row["document_ids"], row["evidence"], row["answerable"], row["kind"]) == ([], "", True, "free")
    assert (row["withhold"], row["held_out"], row["phrasing"], row["licence"]) == (False, False, "", "MIT")
    assert [turn["content"] for turn in row["messages"]] == ["How long?", "Two days."]


def test_named_documents_give_ids_and_family(write: Write, raw_zone: Any, outcome: Any) -> None:
    document = write("refunds.md", "# Refunds\n\nTwo days.")
    chats = write("c.jsonl", lines(pair("How long?", documents=["refunds.md"]), pair("x", documents=["gone.md"])))
    with raw_zone() as zone:
        read_conversations([chats], zone, TERMS, read_documents([document], zone, TERMS))
    (row,) = outcome.conversations
    assert row["document_ids"] == [outcome.documents[0]["id"]]
    assert row["family"] == outcome.documents[0]["family"] == "refunds"
    assert [(entry["line"], entry["reason"]) for entry in outcome.quarantine] == [(2, "unknown document")]


def test_a_context_becomes_one_document_however_many_share_it(write: Write, raw_zone: Any, outcome: Any) -> None:
    context = "Refunds take\ntwo days. Not three."
    records = [
        pair("How long?", "take two days", context=context),
        pair("How long not?", "Three days.", context=context),
    ]
    with raw_zone() as zone:
        read_conversations([write("c.jsonl", lines(*records))], zone, TERMS, {})
    (document,) = outcome.documents
    assert document["text"] == context
    first, second = outcome.conversations
    assert first["document_ids"] == second["document_ids"] == [document["id"]]
    assert first["family"] == second["family"] == document["family"]
    assert (first["evidence"], second["evidence"]) == ("take two days", "")


def test_an_abstention_is_unanswerable(write: Write, raw_zone: Any, outcome: Any) -> None:
    with raw_zone() as zone:
        read_conversations([write("c.jsonl", lines(pair("How long?", "I don't know.")))], zone, TERMS, {})
    (row,) = outcome.conversations
    assert not row["answerable"]
    assert row["messages"][-1]["content"] == ABSTENTION


def test_bad_records_are_quarantined_with_the_field_at_fault(write: Write, raw_zone: Any, outcome: Any) -> None:
    content = lines(pair("a", id=1), pair("b", id=1), {"text": "x"}, pair("a"), pair("a")) + "{broken\n"
    with raw_zone() as zone:
        read_conversations([write("c.jsonl", content)], zone, TERMS, {})
    assert [(entry["line"], entry["reason"]) for entry in outcome.quarantine] == [
        (2, "duplicate id"),
        (3, "no conversation"),
        (5, "duplicate id"),
        (6, "not JSON"),
    ]
    assert outcome.quarantine[1]["detail"].startswith("none of messages")
    assert len(outcome.conversations) == 2


def test_parquet_messages_are_conversations(tmp_path: Path, raw_zone: Any, outcome: Any) -> None:
    turns = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hello."}]
    pq.write_table(pa.table({"messages": [turns, turns[:1]]}), tmp_path / "c.parquet")
    with raw_zone() as zone:
        read_conversations(list_files([str(tmp_path / "c.parquet")], {".parquet"}, None), zone, TERMS, {})
    assert [row["messages"] for row in outcome.conversations] == [turns]
    assert outcome.reasons == ["no conversation"]
