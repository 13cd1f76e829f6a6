"""Make the retrieval index over all documents: passages, embeddings, BM25 and titles, as one versioned artifact.

Reads `split`, writes `index`: tasks/adapters/retrieval/index.py has the files and why they are plain. The version is
the digest of their content. Embeddings of unchanged passages come from the cache of the last run (`embeddings` in the
work folder), so that a nightly run costs what changed; the files are the same with the cache and without. The index
holds the documents of every side, as serving will; training must search `within` the documents of its own. Caveat:
passages and vectors are in memory, about 2 kB a passage.
"""

import logging
from pathlib import Path

from pydantic import Field

from tasks.adapters.retrieval.embedder import PACKAGED, embed_cached, load_embedder
from tasks.adapters.retrieval.index import Retriever, write_index
from tasks.adapters.storage.tables import DOCUMENTS, read_batches
from tasks.adapters.system.progress import Progress
from tasks.core.errors import DataError
from tasks.core.retrieval.context import answering, holds_answer
from tasks.core.retrieval.passages import MAX_CHARS, Passage, cut
from tasks.core.stage import Report, StageConfig
from tasks.settings import Settings

logger = logging.getLogger(__name__)


class Config(StageConfig):
    max_chars: int = Field(MAX_CHARS, ge=100, le=4000)
    """Longest passage in characters; the embedder sees 256 tokens, the prompt holds several passages."""
    embedder: str = PACKAGED
    """The packaged model, a folder with a sentence-transformers model, or a hub id."""
    check_k: int = Field(3, ge=1)
    """Passages per question in the recall of the report."""
    check_questions: int = Field(300, ge=0)
    """Answerable questions of the eval side to take that recall on; 0 for none."""


class IndexReport(Report):
    version: str
    documents: int
    passages: int
    mean_chars: float
    empty_documents: int
    """Documents without a word, of which there is no passage."""
    checked_questions: int
    cut_evidence: int
    """Of these, questions whose evidence lies across two passages, so that no context can hold it."""
    recall_at_k: float | None
    """Share of them whose best `check_k` passages hold the answer; null where none was checked."""


def run(config: Config, split: Path, out: Path, *, settings: Settings | None = None) -> IndexReport:
    """Write the index. Raises DataError without documents, ConfigError where the embedder cannot be loaded."""
    settings = settings or Settings()
    passages, titles, empty = _read_passages(config, split / DOCUMENTS)
    if not passages:
        raise DataError(f"{split / DOCUMENTS} holds no text to search: add documents to configs/curate/ingest.yaml.")
    embedder = load_embedder(config.embedder, settings.threads)
    texts = [passage.text for passage in passages]
    vectors = embed_cached(embedder, texts, settings.home / "embeddings", Progress("embedding", len(texts)))
    version = write_index(out, passages, titles, vectors, embedder=(config.embedder, embedder.digest))
    asked, num_cut, recall = _check(config, Retriever.open(out, embedder=embedder), split / "eval.parquet")
    return IndexReport(
        version=version,
        documents=len(titles),
        passages=len(passages),
        mean_chars=round(sum(map(len, texts)) / len(texts), 1),
        empty_documents=empty,
        checked_questions=asked,
        cut_evidence=num_cut,
        recall_at_k=recall,
    )


def _read_passages(config: Config, path: Path) -> tuple[list[Passage], dict[str, str], int]:
    """Return the passages in the order of their ids, the titles of their documents, and how many documents had none."""
    passages: list[Passage] = []
    titles: dict[str, str] = {}
    empty = 0
    for frame in read_batches(path, ["id", "title", "text"]):
        for id_, title, text in frame.iter_rows():
            found = cut(id_, title, text, max_chars=config.max_chars)
            passages += found
            empty += not found
            titles[id_] = title
    return sorted(passages), titles, empty


def _check(config: Config, retriever: Retriever, path: Path) -> tuple[int, int, float | None]:
    """Return how many eval questions were asked, how many no passage can answer, and the recall."""
    asked: list[tuple[str, list[str], str]] = []
    for frame in read_batches(path, ["messages", "document_ids", "evidence", "answerable"]):
        for messages, document_ids, evidence, answerable in frame.iter_rows():
            if answerable and document_ids:
                question = next(turn["content"] for turn in reversed(messages) if turn["role"] == "user")
                asked.append((question, document_ids, evidence))
    asked = asked[:: max(1, -(-len(asked) // max(config.check_questions, 1)))][: config.check_questions]
    if not asked:
        return 0, 0, None
    found = retriever.search([question for question, _, _ in asked], config.check_k)
    hits = [holds_answer(context, ids, evidence) for context, (_, ids, evidence) in zip(found, asked, strict=True)]
    num_cut = sum(not answering(retriever.passages_of(ids), ids, evidence) for _, ids, evidence in asked)
    return len(asked), num_cut, round(sum(hits) / len(hits), 4)
