"""The retrieval index and its search: dense (numpy) and lexical (bm25s) rankings, joined by reciprocal rank fusion.

Reads and writes an index folder: `passages.parquet`, `vectors.npy` (float16, one row a passage), `bm25/` and
`index.json`. The files are byte-deterministic, so DVC can digest them and equal input makes an equal version; a
vector database (LanceDB was tried) puts identifiers and times of its own in its files, and needs 178 MB. Brute force
over the vectors is exact and takes under a millisecond a question for thousands of passages. Caveat: past some
100,000 passages an approximate index is worth its trouble.
"""

import json
import re
import threading
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tasks.adapters.embedder import PACKAGED, Embedder, load_embedder
from tasks.adapters.tables import read_batches
from tasks.core.errors import DataError
from tasks.core.fusion import fuse
from tasks.core.passages import Passage

if TYPE_CHECKING:
    from bm25s import BM25

PASSAGES, VECTORS, LEXICAL, MANIFEST = "passages.parquet", "vectors.npy", "bm25", "index.json"
PASSAGE_SCHEMA = pa.schema(
    [("id", pa.string()), ("document_id", pa.string()), ("ordinal", pa.int32()), ("text", pa.string())]
)
DEPTH = 50
"""Places of each ranking that take part in the fusion."""

_WORD = re.compile(r"[^\W_](?:[\w.\-]*\w)?|_\w+")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")


class Retriever:
    """An opened index. Safe for several threads; the embedder is loaded at the first search."""

    def __init__(
        self, passages: Sequence[Passage], vectors: np.ndarray, lexical: "BM25", manifest: dict[str, str]
    ) -> None:
        self.passages = passages
        self.version: str = manifest["version"]
        self._vectors, self._lexical = vectors.astype(np.float32), lexical
        self._model, self._threads = manifest.get("embedder", PACKAGED), 1
        self._embedder: Embedder | None = None
        self._loading = threading.Lock()
        self._rows: dict[str, list[int]] = {}
        for row, passage in enumerate(passages):
            self._rows.setdefault(passage.document_id, []).append(row)

    @classmethod
    def open(cls, folder: Path, *, threads: int = 1) -> "Retriever":
        """Return the index in `folder`. Raises DataError where it is incomplete."""
        import bm25s

        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            passages = [Passage(**row) for frame in read_batches(folder / PASSAGES) for row in frame.to_dicts()]
            vectors = np.load(folder / VECTORS)
            lexical = bm25s.BM25.load(folder / LEXICAL, show_progress=False)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{folder} is no whole index ({type(error).__name__}): run curate.index again.") from error
        if len(passages) != len(vectors):
            raise DataError(
                f"{folder} has {len(passages)} passages and {len(vectors)} vectors: run curate.index again."
            )
        retriever = cls(passages, vectors, lexical, manifest)
        retriever._threads = threads
        return retriever

    def passages_of(self, document_ids: Collection[str]) -> list[Passage]:
        """Return every passage of the documents, by document and in reading order."""
        return [self.passages[row] for document_id in sorted(document_ids) for row in self._rows.get(document_id, [])]

    def search(
        self, questions: Sequence[str], k: int, leave_out: Sequence[Collection[str]] = ()
    ) -> list[list[Passage]]:
        """Return the `k` best passages of each question, best first; equals in the order of their ids.

        `leave_out` holds, for each question, documents whose passages must not be found.
        """
        vectors = self.embedder.embed(questions)
        blocked = [self._blocked(ids) for ids in leave_out] or [self._blocked(())] * len(questions)
        return [
            [self.passages[row] for row in self._rank(question, vector, hidden)[:k]]
            for question, vector, hidden in zip(questions, vectors, blocked, strict=True)
        ]

    @property
    def embedder(self) -> Embedder:
        with self._loading:
            if self._embedder is None:
                self._embedder = load_embedder(self._model, self._threads)
            return self._embedder

    def _rank(self, question: str, vector: np.ndarray, hidden: np.ndarray) -> list[int]:
        return fuse([_best(self._vectors @ vector, hidden, floor=-1.0), _best(self._lexical_scores(question), hidden)])

    def _lexical_scores(self, question: str) -> np.ndarray:
        known = self._lexical.get_tokens_ids(list(dict.fromkeys(tokens(question))))
        if not known:
            return np.zeros(len(self.passages), dtype=np.float32)
        return np.asarray(self._lexical.get_scores_from_ids(known))

    def _blocked(self, document_ids: Collection[str]) -> np.ndarray:
        return np.array(
            [row for document_id in document_ids for row in self._rows.get(document_id, [])], dtype=np.int64
        )


def tokens(text: str) -> Iterator[str]:
    """Yield the lexical terms of a text: words in lower case, identifiers both whole and in parts.

    `os.path.join` gives os.path.join, os, path, join; `JSONDecoder.raw_decode` gives also jsondecoder, raw_decode.
    """
    for match in _WORD.finditer(text):
        word = match.group()
        yield word.lower()
        names = word.split(".")
        parts = [part for name in names for part in _PART.findall(name)]
        yield from (name.lower() for name in names if len(names) > 1)
        yield from (part.lower() for part in parts if len(parts) > len(names))


def build_lexical(texts: Sequence[str]) -> "BM25":
    """Return the BM25 index of the texts; equal texts make equal files."""
    import bm25s

    vocabulary: dict[str, int] = {}
    ids = [[vocabulary.setdefault(token, len(vocabulary)) for token in tokens(text)] for text in texts]
    index = bm25s.BM25()
    index.index((ids, vocabulary), show_progress=False)
    return index


def _best(scores: np.ndarray, hidden: np.ndarray, floor: float = 0.0) -> list[int]:
    """Return the rows above `floor`, best first, at most DEPTH; rows lie in the order of their ids."""
    scores = np.round(scores, 5)
    scores[hidden] = floor - 1
    rows = np.argsort(-scores, kind="stable")[:DEPTH]
    return [int(row) for row in rows if scores[row] > floor]
