"""The default source, the documentation of Python itself: enough of it, valid, and the same everywhere."""

import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from tasks.core.chat.prompt import ABSTENTION
from tasks.core.records.schema import Conversation, Document
from tasks.core.sources.docstrings import flatten
from tasks.curate.ingest import IngestReport
from tasks.settings import Settings
from tests.tasks.curate.ingest_support import digests, ingest


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, IngestReport]:
    """The default source, read once."""
    root = tmp_path_factory.mktemp("library")
    settings = Settings(home=root / "home", data=root / "data")
    return root / "ingest", ingest(root / "ingest", settings, {"kind": "python_reference"})


@pytest.fixture(scope="module")
def conversations(library: tuple[Path, IngestReport]) -> pl.DataFrame:
    return pl.read_parquet(library[0] / "conversations.parquet")


@pytest.fixture(scope="module")
def documents(library: tuple[Path, IngestReport]) -> pl.DataFrame:
    return pl.read_parquet(library[0] / "documents.parquet")


def test_the_default_gives_enough_documents_and_conversations(library: tuple[Path, IngestReport]) -> None:
    report = library[1]
    assert report.documents >= 1500
    assert report.conversations >= 4000
    assert report.families >= 300
    assert report.quarantined == 0
    assert 0.35 <= report.unanswerable / report.conversations <= 0.40
    assert min(report.kinds[kind] for kind in ("purpose", "default", "module", "missing_name", "withheld")) >= 200


def test_every_record_is_valid_and_every_id_unique(documents: pl.DataFrame, conversations: pl.DataFrame) -> None:
    for row in documents.to_dicts():
        Document.model_validate(row)
    for row in conversations.to_dicts():
        Conversation.model_validate(row)
    assert documents["id"].is_unique().all()
    assert documents["text"].is_unique().all()
    assert conversations["id"].is_unique().all()
    assert set(conversations["document_ids"].explode()) <= set(documents["id"])


def test_answers_stand_in_their_documents_and_abstentions_have_none(
    documents: pl.DataFrame, conversations: pl.DataFrame
) -> None:
    texts = dict(zip(documents["id"], map(flatten, documents["text"]), strict=True))
    for row in conversations.to_dicts():
        answer = row["messages"][-1]["content"]
        assert (answer == ABSTENTION) is not row["answerable"]
        if row["answerable"]:
            assert row["evidence"] in documents.filter(pl.col("id") == row["document_ids"][0])["text"][0]
            assert not row["withhold"]
        else:
            assert row["evidence"] == ""
        if row["kind"] in ("purpose", "returns", "default", "raises"):
            assert answer in texts[row["document_ids"][0]]


def test_no_conversation_needs_documents_of_two_families(documents: pl.DataFrame, conversations: pl.DataFrame) -> None:
    families = dict(zip(documents["id"], documents["family"], strict=True))
    for row in conversations.to_dicts():
        assert {families[document] for document in row["document_ids"]} == {row["family"]}


def test_families_are_small_beside_the_whole(documents: pl.DataFrame, conversations: pl.DataFrame) -> None:
    assert max(Counter(documents["family"]).values()) <= 0.02 * documents.height
    assert max(Counter(conversations["family"]).values()) <= 0.03 * conversations.height


def test_the_question_alone_does_not_tell_whether_it_can_be_answered(conversations: pl.DataFrame) -> None:
    """A bag of words, trained on four families out of five, ranks the fifth hardly better than chance."""
    questions = [row[0]["content"].lower() for row in conversations["messages"]]
    words = [set(text.replace("`", " ").replace(".", " ").replace("?", " ").split()) for text in questions]
    answerable = conversations["answerable"].to_list()
    folds = [int(hashlib.sha256(family.encode()).hexdigest(), 16) % 5 for family in conversations["family"]]
    areas = [_area(_scores(words, answerable, folds, fold)) for fold in range(5)]
    assert sum(areas) / 5 <= 0.6


def _scores(words: list[set[str]], answerable: list[bool], folds: list[int], fold: int) -> list[tuple[float, bool]]:
    """Naive Bayes over words, scored on the fold that it has not seen."""
    import math

    counts = {True: Counter[str](), False: Counter[str]()}
    for bag, label, where in zip(words, answerable, folds, strict=True):
        if where != fold:
            counts[label].update(bag)
    totals = {label: counter.total() for label, counter in counts.items()}
    weight = {
        word: math.log((counts[True][word] + 1) / totals[True]) - math.log((counts[False][word] + 1) / totals[False])
        for word in counts[True] | counts[False]
    }
    held_back = [(b, a) for b, a, where in zip(words, answerable, folds, strict=True) if where == fold]
    return [(sum(weight.get(word, 0.0) for word in sorted(bag)), label) for bag, label in held_back]


def _area(scored: list[tuple[float, bool]]) -> float:
    frame = pl.DataFrame(scored, schema=["score", "label"], orient="row").with_columns(pl.col("score").rank())
    positive = frame.filter(pl.col("label"))
    count = positive.height
    return float((positive["score"].sum() - count * (count + 1) / 2) / (count * (frame.height - count)))


def test_another_process_elsewhere_reads_the_same_bytes(tmp_path: Path, repository: Path) -> None:
    """Whatever the folder, home, time zone and hash seed."""
    read = []
    for name, seed, zone in (("here", "0", "UTC"), ("elsewhere", "7", "Asia/Tokyo")):
        folder = tmp_path / name
        folder.mkdir()
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(repository),
            "PYTHONHASHSEED": seed,
            "HOME": str(folder),
            "TZ": zone,
            "RATCHET_MODEL_CACHE": str(folder / "cache"),
        }
        command = [sys.executable, "-m", "tasks", "curate.ingest"]
        subprocess.run(command, env=environment, cwd=folder, check=True, capture_output=True, timeout=120)
        read.append(digests(folder / "data" / "ingest"))
    assert len(read[0]) > 2
    assert read[0] == read[1]
