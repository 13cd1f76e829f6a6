"""The retrieval index and its search: three rankings of passages, joined by reciprocal rank fusion.

The rankings: cosine of the embeddings (numpy), BM25 over terms (bm25s), and names: the first passages of documents
whose title the question contains, `json.dumps` or just `dumps`. The last finds what is asked for among a hundred
functions with almost the same text, which the other two rank by the words around the name.

Reads and writes an index folder: `passages.parquet`, `titles.parquet`, `vectors.npy` (float16, one row a passage),
`bm25/` and `index.json`. The files are byte-deterministic, so DVC can digest them and equal input makes an equal
version; a vector database (LanceDB was tried) puts identifiers and times of its own in its files, and weighs 178 MB.
Brute force over the vectors is exact and takes a millisecond a question for thousands of passages. Caveat: past some
100,000 passages an approximate index is worth its trouble.
"""

import hashlib
import json
import math
import threading
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa

from tasks.adapters.retrieval.embedder import PACKAGED, Embedder, load_embedder
from tasks.adapters.storage.files import write_json
from tasks.adapters.storage.tables import BATCH_ROWS, read_batches, table_writer
from tasks.core.errors import DataError
from tasks.core.retrieval.passages import Passage
from tasks.core.retrieval.rank_fusion import fuse
from tasks.core.retrieval.terms import names, terms, title_names

if TYPE_CHECKING:
    from bm25s import BM25

PASSAGES, TITLES, VECTORS, LEXICAL, MANIFEST = (
    "passages.parquet",
    "titles.parquet",
    "vectors.npy",
    "bm25",
    "index.json",
)
PASSAGE_SCHEMA = pa.schema(
    [("id", pa.string()), ("document_id", pa.string()), ("ordinal", pa.int32()), ("text", pa.string())]
)
TITLE_SCHEMA = pa.schema([("document_id", pa.string()), ("title", pa.string())])
DEPTH = 50  # places of each ranking that take part in the fusion
K1, B = 0.9, 0.4  # Anserini's values for short passages; Lin, SIGIR Forum 2018, "The neural hype"


class Retriever:
    """An opened index. Safe for several threads; the embedder is loaded at the first search."""

    def __init__(
        self, passages: Sequence[Passage], titles: Mapping[str, str], vectors: np.ndarray, lexical: "BM25"
    ) -> None:
        """Take passages in the order of their ids, with their vectors in the same order."""
        self.passages, self.titles = passages, titles
        self.version = ""
        self._vectors, self._lexical = vectors.astype(np.float32), lexical
        self._manifest: dict[str, str] = {}
        self._threads = 1
        self._embedder: Embedder | None = None
        self._loading = threading.Lock()
        self._rows: dict[str, list[int]] = {}
        for row, passage in enumerate(passages):
            self._rows.setdefault(passage.document_id, []).append(row)
        self._named = _first_passages(titles, self._rows)

    @classmethod
    def open(cls, folder: Path, *, threads: int = 1, embedder: Embedder | None = None) -> "Retriever":
        """Return the index in `folder`, with `embedder` if that is loaded already. Raises DataError if it is broken."""
        import bm25s

        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            passages = [Passage(**row) for frame in read_batches(folder / PASSAGES) for row in frame.to_dicts()]
            titles = {id_: title for frame in read_batches(folder / TITLES) for id_, title in frame.iter_rows()}
            vectors = np.load(folder / VECTORS)
            lexical = bm25s.BM25.load(folder / LEXICAL, show_progress=False)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{folder} is no whole index ({type(error).__name__}): run the stage that wrote it again."
            ) from error
        if len(passages) != len(vectors):
            raise DataError(f"{folder} has {len(passages)} passages, {len(vectors)} vectors: run curate.index again.")
        retriever = cls(passages, titles, vectors, lexical)
        retriever.version, retriever._manifest = manifest["version"], manifest
        retriever._threads, retriever._embedder = threads, embedder
        return retriever

    def passages_of(self, document_ids: Collection[str]) -> list[Passage]:
        """Return every passage of the documents, by document id and in reading order."""
        return [self.passages[row] for document_id in sorted(document_ids) for row in self._rows.get(document_id, [])]

    def versions_of(self, document_ids: Collection[str], other: "Retriever") -> frozenset[str]:
        """Return the documents here that are those of `other`: by id or, as a new text has a new id, by title."""
        missing = [document_id for document_id in document_ids if document_id not in self.titles]
        titles = {other.titles[document_id] for document_id in missing if document_id in other.titles}
        older = (document_id for document_id, title in self.titles.items() if title in titles) if titles else ()
        return frozenset(document_ids).union(older)

    def search(
        self,
        questions: Sequence[str],
        k: int,
        leave_out: Sequence[Collection[str]] = (),
        *,
        within: Collection[str] | None = None,
    ) -> list[list[Passage]]:
        """Return the `k` best passages of each question, best first; equals in the order of their ids.

        `leave_out` holds, for each question, documents whose passages must not be found; `within` are the only
        documents to be searched for all of them.
        """
        vectors = self.embedder.embed(questions)
        outside = np.zeros(len(self.passages), dtype=np.bool_)
        if within is not None:
            outside[:] = True
            outside[self._rows_of(within)] = False
        found = []
        for number, (question, vector) in enumerate(zip(questions, vectors, strict=True)):
            hidden = outside.copy()
            hidden[self._rows_of(leave_out[number] if leave_out else ())] = True
            found.append([self.passages[row] for row in self._rank(question, vector, hidden)[:k]])
        return found

    def search_scored(self, questions: Sequence[str], k: int) -> list[list[tuple[Passage, float]]]:
        """Return what `search` does, each passage with its cosine similarity to the question."""
        vectors = self.embedder.embed(questions)
        hidden = np.zeros(len(self.passages), dtype=np.bool_)
        found = []
        for question, vector in zip(questions, vectors, strict=True):
            rows = self._rank(question, vector, hidden)[:k]
            found.append([(self.passages[row], float(self._vectors[row] @ vector)) for row in rows])
        return found

    def similarity(self, vectors: np.ndarray, found: Sequence[Sequence[Passage]]) -> list[float | None]:
        """Return the best cosine similarity of each question's vector among the passages found for it."""
        rows = {passage.id: row for row, passage in enumerate(self.passages)}
        return [
            max((float(self._vectors[rows[passage.id]] @ vector) for passage in passages), default=None)
            for vector, passages in zip(vectors, found, strict=True)
        ]

    @property
    def embedder(self) -> Embedder:
        """The embedder the index was made with. Raises DataError where another one is installed by now."""
        with self._loading:
            if self._embedder is None:
                self._embedder = load_embedder(self._manifest.get("embedder", PACKAGED), self._threads)
            if self._embedder.digest != self._manifest.get("embedder_digest", self._embedder.digest):
                raise DataError("The index was made with other embedder weights: run curate.index again.")
            return self._embedder

    def _rank(self, question: str, vector: np.ndarray, hidden: np.ndarray) -> list[int]:
        dense = _best(self._vectors @ vector, hidden, floor=-1.0)
        return fuse([dense, _best(self._lexical_scores(question), hidden), self._rank_named(question, hidden)])

    def _lexical_scores(self, question: str) -> np.ndarray:
        known = self._lexical.get_tokens_ids(list(dict.fromkeys(terms(question))))
        if not known:
            return np.zeros(len(self.passages), dtype=np.float32)
        return np.asarray(self._lexical.get_scores_from_ids(known))

    def _rank_named(self, question: str, hidden: np.ndarray) -> list[int]:
        """Rank the first passages of documents the question names: the fewer documents share a name, the better."""
        scores: dict[int, float] = defaultdict(float)
        for name in sorted(names(question)):
            rows = self._named.get(name, [])
            for row in rows:
                scores[row] += math.log(1 + len(self.passages) / len(rows))
        ranked = sorted(scores, key=lambda row: (-round(scores[row], 5), row))
        return [row for row in ranked if not hidden[row]][:DEPTH]

    def _rows_of(self, document_ids: Collection[str]) -> list[int]:
        return [row for document_id in document_ids for row in self._rows.get(document_id, [])]


def write_index(
    folder: Path,
    passages: Sequence[Passage],
    titles: Mapping[str, str],
    vectors: np.ndarray,
    *,
    embedder: tuple[str, str],
) -> str:
    """Write an index and return its version, the digest of its files; `embedder` is its name and digest.

    `passages` come in the order of their ids, `vectors` in the same order.
    """
    with table_writer(folder / PASSAGES, PASSAGE_SCHEMA) as writer:
        for start in range(0, len(passages), BATCH_ROWS):
            writer.write(pl.DataFrame([asdict(passage) for passage in passages[start : start + BATCH_ROWS]]))
    with table_writer(folder / TITLES, TITLE_SCHEMA) as writer:
        writer.write(pl.DataFrame(sorted(titles.items()), TITLE_SCHEMA.names, orient="row"))
    np.save(folder / VECTORS, vectors.astype(np.float16))
    build_lexical([passage.text for passage in passages]).save(folder / LEXICAL, show_progress=False)
    name, digest = embedder
    version = _digest(folder)
    counts = {"passages": len(passages), "documents": len(titles)}
    write_json(folder / MANIFEST, {"version": version, "embedder": name, "embedder_digest": digest, **counts})
    return version


def build_lexical(texts: Sequence[str]) -> "BM25":
    """Return the BM25 index of the texts; equal texts make equal files, which bm25s's own vocabulary would not."""
    import bm25s

    vocabulary: dict[str, int] = {}
    ids = [[vocabulary.setdefault(term, len(vocabulary)) for term in terms(text)] for text in texts]
    index = bm25s.BM25(k1=K1, b=B)
    index.index((ids, vocabulary), show_progress=False)
    return index


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(str(file.relative_to(folder)).encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _first_passages(titles: Mapping[str, str], rows: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    named: dict[str, list[int]] = defaultdict(list)
    for document_id, title in titles.items():
        for name in title_names(title) if document_id in rows else ():
            named[name].append(rows[document_id][0])
    return named


def _best(scores: np.ndarray, hidden: np.ndarray, floor: float = 0.0) -> list[int]:
    """Return the rows above `floor`, best first, at most DEPTH; rows lie in the order of their ids.

    Rounding keeps the last bits of a sum, which depend on the processor, out of the order.
    """
    scores = np.round(scores, 5)
    scores[hidden] = floor
    rows = np.argsort(-scores, kind="stable")[:DEPTH]
    return [int(row) for row in rows if scores[row] > floor]
