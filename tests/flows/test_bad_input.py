"""What a user sees who gives the command bad input: one sentence, the right exit code, and nothing lost."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.flows.conftest import Checkout, make_checkout

CHATS = [{"question": f"How long does rule {n} take?", "answer": f"{n} days"} for n in range(8)]
CONFIG, DATA, EXTERNAL = 2, 3, 4


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return make_checkout(tmp_path_factory.mktemp("bad"))


@pytest.fixture
def checkout(bare: Checkout) -> Checkout:
    """A checkout in which nothing ran yet, with an empty inbox."""
    for folder in ("data/ingest", "data/ingest.failed", "inbox"):
        shutil.rmtree(bare.root / folder, ignore_errors=True)
    (bare.root / "inbox").mkdir()
    return bare


def give(checkout: Checkout, lines: Sequence[bytes]) -> None:
    """Make `lines` the checkout's only source."""
    (checkout.root / "inbox/chats.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    checkout.configure("curate.ingest", {"sources": [{"kind": "files", "conversations": ["inbox/chats.jsonl"]}]})


def refuse(checkout: Checkout, code: int, stage: str = "curate.ingest", within: Sequence[str] = ()) -> str:
    """Run a stage that has to refuse, and return its one sentence."""
    output = str(checkout.ratchet("stage", stage, code=code, within=within))
    assert "Traceback" not in output
    sentence = output.rstrip().splitlines()[-1]
    assert not (checkout.root / "data" / stage.partition(".")[2]).exists(), "a refused stage leaves no output"
    return sentence


def quarantined(checkout: Checkout, folder: str = "ingest.failed") -> list[dict[str, Any]]:
    path = checkout.root / "data" / folder / "quarantine.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def encoded(records: Sequence[object]) -> list[bytes]:
    return [json.dumps(record).encode() for record in records]


def test_malformed_json_lines(checkout: Checkout) -> None:
    give(checkout, [*encoded(CHATS[:2]), b'{"question": "Why', b"nonsense"])
    sentence = refuse(checkout, DATA)
    assert "2 of 4 records cannot be read (2 not JSON)" in sentence
    assert "data/ingest.failed/quarantine.jsonl" in sentence
    assert [entry["raw"] for entry in quarantined(checkout)] == ['{"question": "Why', "nonsense"]


def test_a_wrong_encoding(checkout: Checkout) -> None:
    give(checkout, [line.replace(b"rule", "Über".encode("latin-1")) for line in encoded(CHATS)])
    assert "8 of 8 records cannot be read (8 not UTF-8)" in refuse(checkout, DATA)
    assert [entry["line"] for entry in quarantined(checkout)] == list(range(1, 9))


def test_an_empty_source(checkout: Checkout) -> None:
    give(checkout, [])
    assert "inbox/chats.jsonl) holds no document or conversation" in refuse(checkout, DATA)


def test_a_missing_file(checkout: Checkout) -> None:
    checkout.configure("curate.ingest", {"sources": [{"kind": "files", "documents": ["gone/*.md"]}]})
    assert "gone/*.md" in refuse(checkout, CONFIG)


def test_a_missing_bucket(checkout: Checkout, moto_endpoint: str) -> None:
    checkout.configure("curate.ingest", {"sources": [{"kind": "files", "documents": ["s3://gone/docs/"]}]})
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    s3 = {"RATCHET_S3_ENDPOINT_URL": moto_endpoint, "AWS_DEFAULT_REGION": "us-east-1", **dict.fromkeys(names, "test")}
    sentence = refuse(replace(checkout, environment={**checkout.environment, **s3}), CONFIG)
    assert "Bucket 'gone' of source s3://gone/docs/ does not exist" in sentence


def test_a_line_of_fifty_megabytes(checkout: Checkout) -> None:
    give(checkout, [*encoded(CHATS), b'{"question": "' + b"x" * 50_000_000 + b'", "answer": "no"}'])
    checkout.ratchet("stage", "curate.ingest")
    report = checkout.json("data/ingest/report.json")
    assert (report["conversations"], report["reasons"]) == (8, {"line too long": 1})
    assert (checkout.root / "data/ingest/quarantine.jsonl").stat().st_size < 10_000


def test_duplicate_ids(checkout: Checkout) -> None:
    give(checkout, encoded([{**CHATS[0], "id": "same"}, {**CHATS[1], "id": "same"}, *CHATS[2:]]))
    checkout.ratchet("stage", "curate.ingest")
    report = checkout.json("data/ingest/report.json")
    assert (report["conversations"], report["reasons"]) == (7, {"duplicate id": 1})
    (entry,) = quarantined(checkout, "ingest")
    assert (entry["reason"], entry["line"]) == ("duplicate id", 2)
    assert CHATS[1]["question"] in entry["raw"]


def test_a_typo_in_a_configuration(checkout: Checkout) -> None:
    checkout.configure("curate.dedup", {"bandz": 3})
    sentence = refuse(checkout, CONFIG, "curate.dedup")
    assert "configs/curate/dedup.yaml" in sentence
    assert "has no field 'bandz'" in sentence


def test_a_full_disk(checkout: Checkout) -> None:
    """`data` is a file system of one megabyte, seen only by this command."""
    give(checkout, encoded([{**chat, "answer": chat["answer"] + os.urandom(20_000).hex()} for chat in CHATS * 10]))
    script = 'mount -t tmpfs -o size=1m tmpfs data && exec "$@"'
    if subprocess.run(["unshare", "-rm", "sh", "-c", "mount -t tmpfs tmpfs /mnt"], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small tmpfs in a namespace of its own (`unshare -rm`)")
    sentence = refuse(checkout, EXTERNAL, within=["unshare", "-rm", "sh", "-c", script, "sh"])
    assert "The disk is full" in sentence
    assert len((checkout.root / "inbox/chats.jsonl").read_bytes().splitlines()) == 80, "the source is untouched"
