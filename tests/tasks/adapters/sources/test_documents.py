"""Files as documents."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.adapters.sources.documents import SourceTerms, read_documents
from tasks.adapters.sources.listing import list_files

TERMS = SourceTerms("CC-BY-4.0", 100_000)
Write = Callable[[str, str | bytes], Any]


def lines(*records: object) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def test_a_file_is_a_document_with_its_path_as_family(
    tmp_path: Path, write: Write, raw_zone: Any, outcome: Any
) -> None:
    write("handbook/refunds.md", "# Refunds\n\nMoney comes back in *14* days.")
    with raw_zone() as zone:
        known = read_documents(list_files([str(tmp_path / "source/handbook")], {".md"}, None), zone, TERMS)
    row = outcome.documents[0]
    assert (row["title"], row["text"]) == ("Refunds", "Refunds\n\nMoney comes back in 14 days.")
    assert (row["family"], row["uri"], row["licence"], row["source"]) == (
        "handbook/refunds",
        "handbook/refunds.md",
        "CC-BY-4.0",
        "files",
    )
    assert known == {"refunds.md": row["id"], "handbook/refunds.md": row["id"], row["id"]: row["id"]}


def test_a_file_without_a_heading_is_called_by_its_name(write: Write, raw_zone: Any, outcome: Any) -> None:
    with raw_zone() as zone:
        read_documents([write("notes.txt", "just one line of text")], zone, TERMS)
    assert outcome.documents[0]["title"] == "notes.txt"


def test_a_byte_order_mark_is_no_text(write: Write, raw_zone: Any, outcome: Any) -> None:
    with raw_zone() as zone:
        read_documents([write("bom.txt", b"\xef\xbb\xbfHello there")], zone, TERMS)
    assert outcome.documents[0]["text"] == "Hello there"


def test_what_is_not_utf8_or_empty_or_too_long_is_quarantined(write: Write, raw_zone: Any, outcome: Any) -> None:
    files = [
        write("latin.txt", "Größe".encode("latin-1")),
        write("empty.md", "<!-- nothing -->\n"),
        write("long.txt", "x" * 100_001),
        write("utf16.html", "<p>hello".encode("utf-16")),
    ]
    with raw_zone() as zone:
        read_documents(files, zone, TERMS)
    assert outcome.documents == []
    assert outcome.reasons == ["not UTF-8", "no text", "file too long", "not UTF-8"]
    assert outcome.quarantine[0]["raw_base64"]
    assert outcome.quarantine[2]["bytes"] == 100_001
    assert outcome.quarantine[0]["uri"] == files[0].path


def test_jsonl_documents_keep_what_they_say_about_themselves(write: Write, raw_zone: Any, outcome: Any) -> None:
    record = {"id": 7, "text": "One two three.", "title": "T", "family": "F", "seen_at": "2020-01-01T00:00:00Z"}
    with raw_zone() as zone:
        known = read_documents([write("d.jsonl", lines(record, {"text": "No title at all here."}))], zone, TERMS)
    first, second = outcome.documents
    assert (first["title"], first["family"], first["seen_at"], first["uri"]) == (
        "T",
        "F",
        "2020-01-01T00:00:00Z",
        "d.jsonl#7",
    )
    assert second["title"] == "No title at all here."
    assert second["family"] == f"d.jsonl#{second['id']}"
    assert known["7"] == first["id"]


def test_bad_lines_are_quarantined_with_line_and_reason(write: Write, raw_zone: Any, outcome: Any) -> None:
    content = lines({"text": "good"}).encode() + b'{"text": \n' + b'{"text": "\xff"}\n'
    content += lines([1], {"title": "x"}, {"text": "  "}, {"text": "a", "id": "1"}, {"text": "b", "id": "1"}).encode()
    content += lines({"text": "good"}).encode() + b'{"text": "\\ud800"}\n'
    with raw_zone() as zone:
        read_documents([write("d.jsonl", content)], zone, TERMS)
    assert [(entry["line"], entry["reason"]) for entry in outcome.quarantine] == [
        (2, "not JSON"),
        (3, "not UTF-8"),
        (4, "not an object"),
        (5, "no field text"),
        (6, "no text"),
        (8, "duplicate id"),
        (9, "duplicate id"),
        (10, "not JSON"),
    ]
    assert [row["text"] for row in outcome.documents] == ["good", "a"]
    assert outcome.quarantine[0]["raw"] == '{"text": '


def test_a_line_too_long_is_quarantined_by_its_beginning(write: Write, raw_zone: Any, outcome: Any) -> None:
    file = write("d.jsonl", lines({"text": "x" * 200_000}, {"text": "next"}))
    with raw_zone() as zone:
        read_documents([file], zone, TERMS)
    (entry,) = outcome.quarantine
    assert (entry["reason"], entry["line"], entry["cut"]) == ("line too long", 1, True)
    assert entry["bytes"] > 200_000
    assert len(entry["raw"]) == 4096
    assert [row["text"] for row in outcome.documents] == ["next"]


def test_parquet_rows_are_documents(tmp_path: Path, raw_zone: Any, outcome: Any) -> None:
    pq.write_table(pa.table({"text": ["one", None, "two"], "title": ["A", "B", None]}), tmp_path / "d.parquet")
    with raw_zone() as zone:
        read_documents(list_files([str(tmp_path / "d.parquet")], {".parquet"}, None), zone, TERMS)
    assert [(row["title"], row["text"]) for row in outcome.documents] == [("A", "one"), ("two", "two")]
    assert [(entry["line"], entry["reason"]) for entry in outcome.quarantine] == [(2, "no field text")]


def test_a_file_that_is_no_parquet_is_quarantined(write: Write, raw_zone: Any, outcome: Any) -> None:
    with raw_zone() as zone:
        read_documents([write("d.parquet", b"PAR1 not really")], zone, TERMS)
    assert outcome.reasons == ["not Parquet"]


def test_ids_follow_from_content_not_from_the_line(write: Write, raw_zone: Any, outcome: Any) -> None:
    first, second = {"text": "one thing"}, {"text": "another thing"}
    with raw_zone() as zone:
        read_documents([write("d.jsonl", lines(first, second))], zone, TERMS)
    before = {row["text"]: row["id"] for row in outcome.documents}
    with raw_zone() as zone:
        read_documents([write("d.jsonl", lines(second, {"text": "new"}, first))], zone, TERMS)
    after = {row["text"]: row["id"] for row in outcome.documents}
    assert before.items() <= after.items()


@pytest.mark.parametrize("name", ["d.jsonl", "d.parquet"])
def test_a_full_disk_is_not_taken_for_a_bad_file(
    name: str, tmp_path: Path, raw_zone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    pq.write_table(pa.table({"text": ["one"]}), path) if name.endswith("parquet") else path.write_text('{"text": "a"}')

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"), raw_zone() as zone:
        monkeypatch.setattr(zone, "add_document", full)
        read_documents(list_files([str(path)], {path.suffix}, None), zone, TERMS)
