import csv
import difflib
import hashlib
import inspect
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tasks.adapters.retrieval.embedder import Embedder, load_embedder
from tasks.adapters.retrieval.index import Retriever, build_lexical, write_index
from tasks.core.errors import DataError
from tasks.core.retrieval.passages import Passage, cut

MODULES: list[ModuleType] = [json, textwrap, shutil, csv, difflib]


class Words:
    """A fake embedder: a text's vector is the sum of its words' random vectors."""

    digest = "words"
    dimensions = 64

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        vectors = np.array([sum(map(self._vector, text.lower().split()), np.zeros(64)) for text in texts])
        return (vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)).astype(np.float32)

    @staticmethod
    def _vector(word: str) -> np.ndarray:
        return np.random.default_rng(int.from_bytes(hashlib.sha256(word.encode()).digest()[:4])).normal(size=64)


def index(folder: Path, documents: dict[str, tuple[str, str]], embedder: Embedder | Words | None = None) -> Retriever:
    """Write the index of documents (id: title, text) and open it."""
    embedder = embedder or Words()
    passages = sorted(passage for id_, (title, text) in documents.items() for passage in cut(id_, title, text))
    vectors = embedder.embed([passage.text for passage in passages]).reshape(len(passages), embedder.dimensions)
    titles = {id_: title for id_, (title, _) in documents.items()}
    write_index(folder, passages, titles, vectors, embedder=("fake", embedder.digest))
    return Retriever.open(folder, embedder=embedder)  # type: ignore[arg-type]


DOCUMENTS = {
    "d1": ("json.dumps", "json.dumps(obj, indent=None)\n\nSerialise an object to a string."),
    "d2": ("json.loads", "json.loads(s)\n\nRead an object from a string, as dumps wrote it."),
    "d3": ("os.path.join", "os.path.join(a, *p)\n\nJoin path components."),
    "d4": ("Returns and refunds", "Goods can be sent back for a refund within 30 days.\n\n" + "More words. " * 80),
}


def ids(found: list[Passage]) -> list[str]:
    return [passage.document_id for passage in found]


@pytest.mark.parametrize(
    ("question", "best"),
    [
        ("What is the default of indent of json.dumps?", "d1"),
        ("Which module provides loads?", "d2"),
        ("what does os.path.join do", "d3"),
        ("until when can goods be sent back", "d4"),
    ],
)
def test_a_question_finds_what_it_names_or_means(tmp_path: Path, question: str, best: str) -> None:
    assert ids(index(tmp_path, DOCUMENTS).search([question], 1)[0]) == [best]


def test_a_scored_search_finds_the_same_and_says_how_alike_it_is(tmp_path: Path) -> None:
    retriever = index(tmp_path, DOCUMENTS)
    questions = ["what does os.path.join do", DOCUMENTS["d4"][1].split("\n")[0]]
    scored = retriever.search_scored(questions, 3)
    assert [[passage for passage, _ in found] for found in scored] == retriever.search(questions, 3)
    assert all(-1.001 <= score <= 1.001 for found in scored for _, score in found)
    assert retriever.titles["d3"] == "os.path.join"


def test_the_similarity_of_passages_found_is_that_of_a_scored_search(tmp_path: Path) -> None:
    retriever = index(tmp_path, DOCUMENTS)
    questions = ["what does os.path.join do", "json"]
    found = retriever.search(questions, 3)
    scored = [[score for _, score in passages] for passages in retriever.search_scored(questions, 3)]
    assert retriever.similarity(retriever.embedder.embed(questions), found) == pytest.approx([max(s) for s in scored])
    assert retriever.similarity(retriever.embedder.embed(questions), [found[0], []])[1] is None


def test_each_question_leaves_out_its_own_documents(tmp_path: Path) -> None:
    question = "What does json.dumps do?"
    found = index(tmp_path, DOCUMENTS).search([question] * 3, 9, [(), {"d1"}, ["d1", "d2", "unknown"]])
    assert ids(found[0])[0] == "d1"
    assert "d1" not in ids(found[1])
    assert not {"d1", "d2"} & set(ids(found[2]))
    assert len(found[2]) > 0


def test_a_search_stays_within_the_documents_it_is_given(tmp_path: Path) -> None:
    found = index(tmp_path, DOCUMENTS).search(["What does json.dumps do?"], 9, within=["d2", "d3"])[0]
    assert set(ids(found)) == {"d2", "d3"}


def test_no_more_than_k_passages_are_found_and_none_twice(tmp_path: Path) -> None:
    retriever = index(tmp_path, DOCUMENTS)
    for k in (1, 2, 100):
        (found,) = retriever.search(["goods words json.dumps"], k)
        assert len(found) == len(set(found)) == min(k, len(retriever.passages))


def test_equals_come_in_the_order_of_their_ids(tmp_path: Path) -> None:
    same = {f"d{number}": ("Some title", "the very same text") for number in (3, 1, 2, 0)}
    assert ids(index(tmp_path, same).search(["the very same text"], 4)[0]) == ["d0", "d1", "d2", "d3"]


def test_a_question_of_unknown_words_still_finds_something(tmp_path: Path) -> None:
    assert len(index(tmp_path, DOCUMENTS).search(["zzz ???", ""], 2)[0]) == 2


def test_passages_of_documents_come_in_reading_order(tmp_path: Path) -> None:
    found = index(tmp_path, DOCUMENTS).passages_of(["d4", "d1", "unknown"])
    assert ids(found)[0] == "d1"
    assert [passage.ordinal for passage in found[1:]] == list(range(len(found) - 1))
    assert len(found) > 3


def test_many_threads_find_what_one_does(tmp_path: Path) -> None:
    retriever = index(tmp_path, DOCUMENTS)
    questions = [f"What does {title} do with word{number}?" for number in range(25) for title, _ in DOCUMENTS.values()]
    expected = retriever.search(questions, 3)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda question: retriever.search([question], 3)[0], questions))
    assert found == expected


def test_the_version_follows_from_the_content(tmp_path: Path) -> None:
    one, same = index(tmp_path / "one", DOCUMENTS), index(tmp_path / "same", dict(reversed(DOCUMENTS.items())))
    changed = index(tmp_path / "changed", {**DOCUMENTS, "d1": ("json.dumps", "another text")})
    renamed = index(tmp_path / "renamed", {**DOCUMENTS, "d1": ("json.dump", DOCUMENTS["d1"][1])})
    assert len(one.version) == 64
    assert one.version == same.version
    assert len({one.version, changed.version, renamed.version}) == 3


def test_the_lexical_index_has_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    code = (
        "import sys; from tasks.adapters.retrieval.index import build_lexical;"
        "texts = ['some words of os.path.join', 'other words and json.dumps'];"
        "build_lexical(texts).save(sys.argv[1], show_progress=False)"
    )
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", code, str(tmp_path / seed)], env=environment, check=True)
    names = sorted(file.name for file in (tmp_path / "1").iterdir())
    assert len(names) == 5
    assert all((tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes() for name in names)


@pytest.mark.parametrize(
    "name", ["index.json", "passages.parquet", "titles.parquet", "vectors.npy", "bm25/vocab.index.json"]
)
def test_an_index_that_lacks_a_file_is_one_sentence(tmp_path: Path, name: str) -> None:
    index(tmp_path, DOCUMENTS)
    (tmp_path / name).unlink()
    with pytest.raises(DataError, match=r"is no whole index \(\w+\): run the stage that wrote it again\.$"):
        Retriever.open(tmp_path)


def test_an_index_with_too_few_vectors_is_one_sentence(tmp_path: Path) -> None:
    index(tmp_path, DOCUMENTS)
    np.save(tmp_path / "vectors.npy", np.zeros((2, 64), np.float16))
    with pytest.raises(DataError, match=r"has \d+ passages, 2 vectors"):
        Retriever.open(tmp_path)


def test_an_index_made_with_other_weights_is_one_sentence(tmp_path: Path) -> None:
    index(tmp_path, DOCUMENTS)
    other = Words()
    other.digest = "other"
    with pytest.raises(DataError, match="made with other embedder weights"):
        Retriever.open(tmp_path, embedder=other).search(["anything"], 1)  # type: ignore[arg-type]


def test_bm25_weighs_a_rare_term_more() -> None:
    lexical = build_lexical(["common rare", "common", "common", "common words"])
    scores = lexical.get_scores_from_ids(lexical.get_tokens_ids(["common", "rare"]))
    assert scores.argmax() == 0


def documentation() -> dict[str, tuple[str, str]]:
    """Return the documented functions of some modules of the standard library."""
    found = {}
    for module in MODULES:
        for name, member in sorted(vars(module).items()):
            text = inspect.getdoc(member)
            if (
                inspect.isfunction(member)
                and member.__module__ == module.__name__
                and text
                and not name.startswith("_")
            ):
                title = f"{module.__name__}.{name}"
                found[title.replace(".", "_")] = (title, f"{title}{inspect.signature(member)}\n\n{text}")
    return found


def test_the_real_embedder_answers_questions_by_name_and_by_meaning(tmp_path: Path) -> None:
    documents = documentation()
    assert len(documents) > 30
    retriever = index(tmp_path, documents, load_embedder(threads=2))
    by_name = {f"What is {title.rpartition('.')[2]} for?": id_ for id_, (title, _) in documents.items()}
    found = retriever.search(list(by_name), 3)
    recall = np.mean([id_ in ids(context) for id_, context in zip(by_name.values(), found, strict=True)])
    assert recall >= 0.95
    by_meaning = {
        "How do I turn an object into JSON text?": "json_dumps",
        "delete a whole directory tree": "shutil_rmtree",
        "remove the indentation that all lines have in common": "textwrap_dedent",
        "which words are most similar to a misspelled one?": "difflib_get_close_matches",
    }
    contexts = retriever.search(list(by_meaning), 3)
    assert [id_ in ids(context) for id_, context in zip(by_meaning.values(), contexts, strict=True)] == [True] * 4
