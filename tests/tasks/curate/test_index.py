import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tasks.adapters.retrieval.index import Retriever
from tasks.adapters.storage.tables import CONVERSATION_SCHEMA, DOCUMENT_SCHEMA, DOCUMENTS, table_writer
from tasks.adapters.system.progress import Progress
from tasks.core.errors import DataError
from tasks.curate.index import Config, IndexReport, run
from tasks.settings import Settings

CORPUS = {
    "d1": ("json.dumps", "json.dumps(obj, indent=None)\n\nSerialise an object to a string."),
    "d2": ("json.loads", "json.loads(s)\n\nRead an object from a string."),
    "d3": ("Long", "A first paragraph about wolves.\n\n" + "A sentence of some length about foxes. " * 30),
}
QUESTIONS = [
    ("What does json.dumps do?", ["d1"], "Serialise an object", True),
    ("What does json.loads do?", ["d2"], "nothing that it says", True),
    ("Who asked?", ["d1"], "", False),
]


class Letters:
    """A fake embedder: a text's vector counts its letters."""

    digest = "letters" * 3
    dimensions = 26
    embedded = 0

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        rows = [[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts]
        counts = np.array(rows, np.float32).reshape(-1, 26)
        return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1)

    def embed_exactly(self, texts: Sequence[str], progress: Progress) -> np.ndarray:
        self.embedded += len(texts)
        return self.embed(texts)


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> Letters:
    fake = Letters()
    monkeypatch.setattr("tasks.curate.index.load_embedder", lambda model, threads: fake)
    return fake


def blank(names: list[str], known: dict[str, Any]) -> dict[str, Any]:
    return {**dict.fromkeys(names, ""), **known}


def write_split(
    folder: Path, corpus: dict[str, tuple[str, str]], questions: list[tuple[str, list[str], str, bool]]
) -> None:
    documents = [{"id": id_, "title": title, "text": text} for id_, (title, text) in corpus.items()]
    conversations = [
        {
            "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": "An answer."}],
            "document_ids": document_ids,
            "evidence": evidence,
            "answerable": answerable,
            "withhold": False,
            "held_out": False,
        }
        for question, document_ids, evidence, answerable in questions
    ]
    for name, rows, schema in (
        (DOCUMENTS, documents, DOCUMENT_SCHEMA),
        ("eval.parquet", conversations, CONVERSATION_SCHEMA),
    ):
        with table_writer(folder / name, schema) as writer:
            writer.write(pl.DataFrame([blank(schema.names, row) for row in rows]))


class Stage:
    def __init__(self, folder: Path, settings: Settings, **config: Any):
        self.folder, self.settings, self.config = folder, settings, Config(**config)

    def run(self, corpus: dict[str, tuple[str, str]] = CORPUS, out: str = "index") -> IndexReport:
        write_split(self.folder / "split", corpus, QUESTIONS)
        (self.folder / out).mkdir()
        return run(self.config, self.folder / "split", self.folder / out, settings=self.settings)

    def files(self, out: str) -> dict[str, bytes]:
        root = self.folder / out
        return {str(f.relative_to(root)): f.read_bytes() for f in sorted(root.rglob("*")) if f.is_file()}


@pytest.fixture
def stage(tmp_path: Path, settings: Settings) -> Stage:
    return Stage(tmp_path, settings)


def test_the_index_holds_every_document_in_passages_of_the_asked_size(stage: Stage, letters: Letters) -> None:
    report = stage.run()
    passages = Retriever.open(stage.folder / "index").passages
    assert {passage.document_id for passage in passages} == set(CORPUS)
    assert [passage.id for passage in passages] == sorted(passage.id for passage in passages)
    assert all(len(passage.text) <= 450 for passage in passages)
    assert (report.documents, report.passages) == (3, len(passages))
    manifest = json.loads((stage.folder / "index" / "index.json").read_text())
    assert manifest == {
        "version": report.version,
        "embedder": "all-minilm-l6-v2",
        "embedder_digest": letters.digest,
        "passages": report.passages,
        "documents": 3,
    }


def test_the_report_says_how_often_the_best_passages_hold_the_answer(stage: Stage, letters: Letters) -> None:
    report = stage.run()
    assert report.checked_questions == 2
    assert report.cut_evidence == 1
    assert report.recall_at_k == 0.5


def test_without_a_question_there_is_no_recall(tmp_path: Path, settings: Settings, letters: Letters) -> None:
    report = Stage(tmp_path, settings, check_questions=0).run()
    assert (report.checked_questions, report.recall_at_k) == (0, None)


def test_a_second_run_gives_the_same_bytes_with_the_cache_and_without(
    stage: Stage, letters: Letters, tmp_path: Path
) -> None:
    first = stage.run()
    embedded = letters.embedded
    stage.run(dict(reversed(CORPUS.items())), "again")
    assert letters.embedded == embedded == first.passages
    cold = Stage(tmp_path, stage.settings.model_copy(update={"home": tmp_path / "elsewhere"}))
    cold.run(CORPUS, "cold")
    assert letters.embedded == 2 * embedded
    assert len(stage.files("index")) == 9
    assert stage.files("index") == stage.files("again") == cold.files("cold")


def test_a_changed_document_costs_its_own_passages_alone(stage: Stage, letters: Letters) -> None:
    first = stage.run()
    embedded = letters.embedded
    second = stage.run({**CORPUS, "d2": ("json.loads", "Another text.")}, "changed")
    assert letters.embedded == embedded + 1
    assert second.version != first.version


def test_a_document_without_a_word_is_counted(stage: Stage, letters: Letters) -> None:
    report = stage.run({**CORPUS, "d0": ("Empty", "\n \n")})
    assert (report.documents, report.empty_documents) == (4, 1)


def test_no_document_is_one_sentence(stage: Stage, letters: Letters) -> None:
    with pytest.raises(DataError, match="holds no text to search: add documents"):
        stage.run({})


def test_the_real_embedder_makes_an_index_that_answers(stage: Stage) -> None:
    report = stage.run()
    assert report.recall_at_k == 0.5
    found = Retriever.open(stage.folder / "index").search(["Tell me about an animal that is like a big dog"], 1)
    assert "wolves" in found[0][0].text
