"""The raw zone keeps records and what it refuses."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

from tasks.adapters.sources import raw_zone as module
from tasks.adapters.sources.raw_zone import ConversationRow, DocumentRow, Place
from tasks.adapters.storage.tables import CONVERSATION_SCHEMA, DOCUMENT_SCHEMA
from tasks.core.records.schema import Conversation, Document

DOCUMENT = DocumentRow("00ab", "f", "t", "text", "files", "u", "MIT", "2026-01-01T00:00:00Z")
TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
CONVERSATION = ConversationRow(
    "00cd", "f", TURNS, ["00ab"], "ev", True, False, "free", "", False, "files", "u", "MIT", "2026-01-01T00:00:00Z"
)


def test_rows_have_the_fields_of_records_and_tables() -> None:
    assert DocumentRow._fields == tuple(DOCUMENT_SCHEMA.names) == tuple(Document.model_fields)
    assert ConversationRow._fields == tuple(CONVERSATION_SCHEMA.names) == tuple(Conversation.model_fields)


def test_records_come_back_as_they_were(outcome: Any, raw_zone: Callable[[], Any]) -> None:
    with raw_zone() as zone:
        assert zone.add_document(DOCUMENT, Place("u"))
        assert zone.add_conversation(CONVERSATION, Place("u"))
        assert zone.family_of("00ab") == "f"
        assert zone.family_of("00ff") is None
        assert zone.num_families() == 1
    assert Document.model_validate(outcome.documents[0]) == Document(**DOCUMENT._asdict())
    assert Conversation.model_validate(outcome.conversations[0]) == Conversation(**CONVERSATION._asdict())
    assert outcome.quarantine == []


def test_a_repeated_id_is_refused_and_its_content_kept(outcome: Any, raw_zone: Callable[[], Any]) -> None:
    with raw_zone() as zone:
        zone.add_document(DOCUMENT, Place("u", 1))
        assert not zone.add_document(DOCUMENT, Place("u", 2))
        zone.add_conversation(CONVERSATION, Place("c", 1))
        assert not zone.add_conversation(CONVERSATION, Place("c", 2))
        assert zone.tally.quarantined == 2
        assert zone.tally.count == 2
    assert [(e["reason"], e["uri"], e["line"]) for e in outcome.quarantine] == [
        ("duplicate id", "u", 2),
        ("duplicate id", "c", 2),
    ]
    assert outcome.quarantine[0]["raw"] == "text"


def test_what_is_no_text_is_kept_as_base64(outcome: Any, raw_zone: Callable[[], Any]) -> None:
    with raw_zone() as zone:
        zone.refuse(Place("u", 3), "not UTF-8", b"\xff\xfe", detail="d")
        zone.refuse(Place("u", 4), "too long", b"beginning", num_bytes=50)
        zone.refuse(Place("u", 5), "a row", {"a": 1})
    first, second, third = outcome.quarantine
    assert base64.b64decode(first["raw_base64"]) == b"\xff\xfe"
    assert first["detail"] == "d"
    assert (second["raw"], second["bytes"], second["cut"]) == ("beginning", 50, True)
    assert third["raw"] == '{"a": 1}'


def test_rows_are_written_in_batches(
    outcome: Any, raw_zone: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_CHARS", 10)
    with raw_zone() as zone:
        for number in range(7):
            zone.add_document(DOCUMENT._replace(id=f"{number:04x}"), Place("u"))
    assert [row["id"] for row in outcome.documents] == [f"{number:04x}" for number in range(7)]


def test_tables_appear_only_when_all_went_well(outcome: Any, raw_zone: Callable[[], Any]) -> None:
    with pytest.raises(RuntimeError), raw_zone() as zone:
        zone.add_document(DOCUMENT, Place("u"))
        raise RuntimeError
    assert not (outcome.folder / "documents.parquet").exists()


def test_equal_content_has_an_equal_digest(raw_zone: Callable[[], Any]) -> None:
    with raw_zone() as zone:
        zone.add_document(DOCUMENT, Place("u"))
        first = zone.tally.digest
        zone.begin_source()
        assert zone.tally.digest != first
        assert [tally.documents for tally in zone.tallies] == [1, 0]
