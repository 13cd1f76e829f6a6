"""The stage that reads sources: what it writes, what it refuses, and that reading again changes nothing."""

import json
import logging
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import polars as pl
import pytest
from moto import mock_aws

from tasks.core.errors import ConfigError, DataError
from tasks.curate.ingest import Config, run, source_fingerprint
from tasks.runner import find_stage, load_config, run_stage
from tasks.settings import Settings
from tests.tasks.curate.ingest_support import SECRET, digests, ingest, jsonl, quarantine


def test_the_folder_is_private_and_a_second_run_changes_nothing(workdir: Path, settings: Settings) -> None:
    (workdir / "docs").mkdir()
    (workdir / "docs" / "a.md").write_text("# A\n\nSome text.")
    (workdir / "configs" / "curate").mkdir(parents=True)
    (workdir / "configs" / "curate" / "ingest.yaml").write_text("sources:\n  - {kind: files, documents: [docs]}\n")
    run_stage(find_stage("ingest"), settings)
    out = settings.data / "ingest"
    before = digests(out)
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert set(before) == {
        "conversations.parquet",
        "documents.parquet",
        "manifest.json",
        "quarantine.jsonl",
        "report.json",
    }
    run_stage(find_stage("ingest"), settings)
    assert digests(out) == before


def test_the_shipped_configuration_is_valid_and_reads_the_standard_library(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    config = load_config(find_stage("ingest"))
    assert isinstance(config, Config)
    assert [source.kind for source in config.sources] == ["python_reference"]


def test_a_users_folder_and_chats_come_in_by_one_line(workdir: Path, settings: Settings) -> None:
    (workdir / "handbook").mkdir()
    for number in range(30):
        (workdir / "handbook" / f"page{number}.md").write_text(f"# Page {number}\n\nRule {number} takes {number} days.")
    chats = [
        {
            "messages": [
                {"role": "user", "content": f"How long does rule {number % 30} take, attempt {number}?"},
                {"role": "assistant", "content": f"{number % 30} days"},
            ],
            "documents": [f"page{number % 30}.md"],
        }
        for number in range(300)
    ]
    jsonl(workdir / "chats.jsonl", *chats)
    source = {"kind": "files", "documents": ["handbook"], "conversations": ["chats.jsonl"], "licence": "CC0-1.0"}
    report = ingest(workdir / "ingest", settings, source)
    assert (report.documents, report.conversations, report.families, report.quarantined) == (30, 300, 30, 0)
    manifest = json.loads((workdir / "ingest" / "manifest.json").read_text())
    (entry,) = manifest["sources"]
    assert entry["adapter"] == "files"
    assert entry["uri"] == "handbook, chats.jsonl"
    assert (entry["licence"], entry["count"]) == ("CC0-1.0", 330)
    families = pl.read_parquet(workdir / "ingest" / "conversations.parquet")["family"]
    assert set(families) == {f"handbook/page{number}" for number in range(30)}


def test_sources_are_read_one_after_the_other(workdir: Path, settings: Settings) -> None:
    first = jsonl(workdir / "a.jsonl", {"text": "One document of text.", "id": "1"})
    feedback = {
        "answer_id": "f1",
        "model": "m",
        "question": "What is it?",
        "answer": "No idea.",
        "correction": "A document.",
        "review": "accepted",
        "recorded_at": "2026-01-01T00:00:00Z",
    }
    report = ingest(
        workdir / "ingest",
        settings,
        {"kind": "files", "documents": [first]},
        {
            "kind": "feedback",
            "path": jsonl(workdir / "f.jsonl", feedback, {**feedback, "answer_id": "f2", "review": "pending"}),
        },
        {"kind": "package_reference", "packages": ["yaml"], "max_conversations": 50},
    )
    assert [entry["adapter"] for entry in report.sources] == ["files", "feedback", "package_reference"]
    assert (report.skipped, report.sources[1]["conversations"], report.sources[2]["licence"]) == (1, 1, "MIT")


def test_the_fingerprint_is_the_manifests_until_a_source_changes(workdir: Path, settings: Settings) -> None:
    (workdir / "docs").mkdir()
    (workdir / "docs" / "a.md").write_text("Some text here.")
    source = {"kind": "files", "documents": ["docs"]}
    config = Config.model_validate({"sources": [source, {"kind": "python_reference", "include": ["json"]}]})
    (workdir / "ingest").mkdir()
    run(config, workdir / "ingest", settings=settings)
    written = json.loads((workdir / "ingest" / "manifest.json").read_text())["fingerprint"]
    assert source_fingerprint(config, settings) == written
    (workdir / "docs" / "a.md").write_text("Other text here.")
    assert source_fingerprint(config, settings) != written
    (workdir / "docs" / "a.md").write_text("Some text here.")
    assert source_fingerprint(config, settings) == written
    other = config.model_copy(update={"max_record_bytes": 5000})
    assert source_fingerprint(other, settings) != written


def test_the_fingerprint_of_references_imports_nothing(settings: Settings) -> None:
    code = """
import sys
from tasks.curate.ingest import Config, source_fingerprint
from tasks.settings import Settings
sources = [{"kind": "python_reference"}, {"kind": "package_reference", "packages": ["pandas"]}]
source_fingerprint(Config.model_validate({"sources": sources}), Settings())
print(sorted({"pandas", "imaplib", "boto3", "torch"} & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "[]"


def test_few_bad_lines_are_quarantined_and_the_rest_goes_on(
    workdir: Path, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    path = workdir / "chats.jsonl"
    jsonl(path, *({"question": f"Question {n}?", "answer": "Yes."} for n in range(20)))
    with path.open("ab") as file:
        file.write(f'{{"question": "{SECRET}'.encode() + b'\n{"question": "\xff", "answer": "x"}\n')
    with caplog.at_level(logging.DEBUG):
        report = ingest(workdir / "ingest", settings, {"kind": "files", "conversations": ["chats.jsonl"]})
    assert report.reasons == {"not JSON": 1, "not UTF-8": 1}
    entries = quarantine(workdir / "ingest")
    assert [(entry["uri"], entry["line"], entry["reason"]) for entry in entries] == [
        ("chats.jsonl", 21, "not JSON"),
        ("chats.jsonl", 22, "not UTF-8"),
    ]
    assert SECRET in entries[0]["raw"]
    assert SECRET not in caplog.text
    assert SECRET not in report.model_dump_json()


def test_too_many_bad_lines_stop_the_run_and_name_the_quarantine(workdir: Path, settings: Settings) -> None:
    path = workdir / "chats.jsonl"
    path.write_text(f"{SECRET}\n" * 3 + '{"question": "a", "answer": "b"}\n')
    (workdir / "configs" / "curate").mkdir(parents=True)
    (workdir / "configs" / "curate" / "ingest.yaml").write_text(
        f"sources:\n  - {{kind: files, conversations: [{path}]}}\n"
    )
    with pytest.raises(DataError) as refusal:
        run_stage(find_stage("ingest"), settings)
    kept = settings.data / "ingest.failed" / "quarantine.jsonl"
    assert str(refusal.value) == (
        f"3 of 4 records cannot be read (3 not JSON), more than max_quarantined=0.2 allows: look at {kept}."
    )
    assert [entry["raw"] for entry in quarantine(kept.parent)] == [SECRET] * 3
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700


def test_a_line_of_fifty_megabytes_is_quarantined(workdir: Path, settings: Settings) -> None:
    with (workdir / "d.jsonl").open("w") as file:
        for number in range(9):
            file.write(json.dumps({"text": f"Document number {number}."}) + "\n")
        file.write('{"text": "' + "x" * 50_000_000 + '"}\n')
        file.write('{"text": "The last one."}\n')
    report = ingest(workdir / "ingest", settings, {"kind": "files", "documents": ["d.jsonl"]})
    assert (report.documents, report.reasons) == (10, {"line too long": 1})
    (entry,) = quarantine(workdir / "ingest")
    assert (entry["line"], entry["bytes"]) == (10, 50_000_012)
    assert (workdir / "ingest" / "quarantine.jsonl").stat().st_size < 10_000


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (
            {"kind": "files", "documents": ["empty"]},
            DataError,
            r"Source files \(empty\) holds no document or conversation",
        ),
        ({"kind": "files", "documents": ["blank.jsonl"]}, DataError, r"Source files \(blank.jsonl\) holds no document"),
        ({"kind": "files", "documents": ["gone"]}, ConfigError, "Source gone does not exist"),
        ({"kind": "files"}, ConfigError, "names no documents and no conversations"),
        ({"kind": "feedback", "path": "gone/"}, ConfigError, "Source gone/ does not exist"),
        (
            {"kind": "package_reference", "packages": ["gone"]},
            ConfigError,
            "Package 'gone' of source package_reference",
        ),
        (
            {"kind": "python_reference", "include": ["gone"]},
            DataError,
            r"Source python_reference \(gone\) holds no document",
        ),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else None,
)
def test_a_source_that_gives_nothing_is_named(
    source: dict[str, Any], error: type[Exception], message: str, workdir: Path, settings: Settings
) -> None:
    (workdir / "empty").mkdir()
    (workdir / "blank.jsonl").write_text("\n\n")
    with pytest.raises(error, match=message):
        ingest(workdir / "ingest", settings, source)


def test_no_feedback_yet_is_no_mistake(workdir: Path, settings: Settings) -> None:
    (workdir / "feedback").mkdir()
    documents = jsonl(workdir / "d.jsonl", {"text": "A document."})
    sources = [{"kind": "files", "documents": [documents]}, {"kind": "feedback", "path": "feedback"}]
    assert ingest(workdir / "ingest", settings, *sources).sources[1]["count"] == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sources:\n  - {kind: fils}\n", "'kind' does not match any of the expected tags"),
        ("sources: []\n", "at least 1 item"),
        ("source: []\n", "has no field 'source'; its fields are sources"),
        ("sources:\n  - {kind: files, document: [x]}\n", "document"),
    ],
)
def test_a_typo_in_the_configuration_is_named(text: str, message: str, workdir: Path) -> None:
    (workdir / "configs" / "curate").mkdir(parents=True)
    (workdir / "configs" / "curate" / "ingest.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(find_stage("ingest"))


def test_a_bucket_is_a_source_and_a_missing_one_is_named(
    workdir: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("ACCESS_KEY_ID", "t"), ("SECRET_ACCESS_KEY", "t"), ("DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="sources")
        client.put_object(Bucket="sources", Key="docs/a.md", Body=b"# A\n\nSome text.")
        client.put_object(Bucket="sources", Key="chats/c.jsonl", Body=b'{"question": "Q?", "answer": "A."}\n')
        source = {"kind": "files", "documents": ["s3://sources/docs/"], "conversations": ["s3://sources/chats/"]}
        report = ingest(workdir / "ingest", settings, source)
        assert (report.documents, report.conversations) == (1, 1)
        with pytest.raises(ConfigError, match="Bucket 'gone' of source s3://gone/docs does not exist"):
            ingest(workdir / "other", settings, {"kind": "files", "documents": ["s3://gone/docs"]})


def test_reading_is_deterministic_for_files_too(workdir: Path, settings: Settings) -> None:
    docs = jsonl(workdir / "d.jsonl", *({"text": f"Document number {n}."} for n in range(50)))
    chats = jsonl(
        workdir / "c.jsonl", *({"question": f"Q{n}?", "answer": "A.", "context": f"C {n % 5}"} for n in range(50))
    )
    source = {"kind": "files", "documents": [docs], "conversations": [chats]}
    ingest(workdir / "one", settings, source)
    ingest(workdir / "two", settings, source)
    assert digests(workdir / "one") == digests(workdir / "two")
