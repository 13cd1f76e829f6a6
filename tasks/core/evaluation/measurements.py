"""Measure answers: a row an item, which the gate decides from, and a row a question of the general-knowledge probe.

A row whose answer is not `ok` has no measurement at all: a failure is neither a wrong answer nor a right one. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from tasks.core.chat.prompt import ABSTENTION
from tasks.core.evaluation.answer_scores import accepts, score_answer
from tasks.core.evaluation.grounding import ungrounded_terms
from tasks.core.retrieval.passages import Passage
from tasks.core.retrieval.retrieval_metrics import recall_at_k, reciprocal_rank

OK = "ok"

_ROW_COLUMNS: dict[str, Any] = {
    "item_id": pl.String,
    "model": pl.String,
    "kind": pl.String,
    "phrasing": pl.String,
    "held_out": pl.Boolean,
    "family": pl.String,
    "cluster": pl.String,
    "question": pl.String,
    "reference": pl.String,
    "answer": pl.String,
    "answerable": pl.Boolean,
    "abstained": pl.Boolean,
    "exact_match": pl.Float64,
    "token_f1": pl.Float64,
    "score": pl.Float64,
    "hallucinated": pl.Boolean,
    "ungrounded": pl.Boolean,
    "prompt_tokens": pl.Int64,
    "completion_tokens": pl.Int64,
    "status": pl.String,
    "retrieved_ids": pl.List(pl.String),
}
_PROBE_COLUMNS: dict[str, Any] = {
    "item_id": pl.String,
    "model": pl.String,
    "question": pl.String,
    "reference": pl.String,
    "answer": pl.String,
    "correct": pl.Int64,
    "status": pl.String,
}
_RETRIEVAL_COLUMNS: dict[str, Any] = {
    "item_id": pl.String,
    "recall_at_k": pl.Float64,
    "reciprocal_rank": pl.Float64,
}
ROW_SCHEMA, PROBE_SCHEMA = pl.Schema(_ROW_COLUMNS), pl.Schema(_PROBE_COLUMNS)
RETRIEVAL_SCHEMA = pl.Schema(_RETRIEVAL_COLUMNS)


@dataclass(frozen=True)
class Item:
    """A question with the context that one model is shown. `reference`, the right answer, is the same for all."""

    id: str
    family: str
    kind: str
    phrasing: str
    held_out: bool
    question: str
    reference: str
    answerable: bool
    """Whether some model's context holds the answer, not necessarily this one."""
    document_ids: tuple[str, ...]
    is_findable: bool
    """Whether retrieval ought to find the documents; the items over which its recall is measured."""
    passages: tuple[Passage, ...]
    holds_answer: bool
    """Whether these passages hold the answer."""

    @property
    def cluster(self) -> str:
        """The document that the item asks about: answers over one document are not independent."""
        return self.document_ids[0] if self.document_ids else self.id


@dataclass(frozen=True)
class ProbeItem:
    """A question of the general-knowledge probe, outside the domain, with the answers that are accepted."""

    id: str
    question: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Reply:
    """A model's answer to one question, and whether the request succeeded (`status`)."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    status: str


def reference_answer(answer: str, *, answerable: bool) -> str:
    """Return the right answer: the known one where a context holds it, else the abstention."""
    return answer if answerable else ABSTENTION


def measure(items: Sequence[Item], model: str, replies: Sequence[Reply]) -> pl.DataFrame:
    """Return one row an item."""
    rows = [_row(item, model, reply) for item, reply in zip(items, replies, strict=True)]
    return pl.DataFrame(rows, schema=ROW_SCHEMA)


def measure_probe(items: Sequence[ProbeItem], model: str, replies: Sequence[Reply]) -> pl.DataFrame:
    """Return one row a question of the general-knowledge probe; an accepted answer anywhere in the reply counts."""
    rows = [
        {
            "item_id": item.id,
            "model": model,
            "question": item.question,
            "reference": " | ".join(item.answers),
            "answer": reply.text,
            "correct": int(accepts(reply.text, item.answers)) if reply.status == OK else None,
            "status": reply.status,
        }
        for item, reply in zip(items, replies, strict=True)
    ]
    return pl.DataFrame(rows, schema=PROBE_SCHEMA)


def _row(item: Item, model: str, reply: Reply) -> dict[str, Any]:
    return {
        "item_id": item.id,
        "model": model,
        "kind": item.kind,
        "phrasing": item.phrasing,
        "held_out": item.held_out,
        "family": item.family,
        "cluster": item.cluster,
        "question": item.question,
        "reference": item.reference,
        "answer": reply.text,
        "answerable": item.answerable,
        **_measured(item, reply),
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "status": reply.status,
        "retrieved_ids": [passage.id for passage in item.passages],
    }


def _measured(item: Item, reply: Reply) -> dict[str, Any]:
    if reply.status != OK:
        return dict.fromkeys(("abstained", "exact_match", "token_f1", "score", "hallucinated", "ungrounded"))
    scores = score_answer(reply.text, item.reference, answerable=item.answerable)
    context = "\n".join(passage.text for passage in item.passages)
    return {
        "abstained": scores.abstained,
        "exact_match": scores.exact_match,
        "token_f1": scores.token_f1,
        "score": scores.score,
        "hallucinated": scores.hallucinated,
        "ungrounded": not scores.abstained and bool(ungrounded_terms(reply.text, context, item.question)),
    }


def measure_retrieval(items: Sequence[Item], k: int) -> pl.DataFrame:
    """Return recall and reciprocal rank, a row for each item whose documents retrieval ought to find."""
    findable = [item for item in items if item.is_findable]
    found = [[passage.document_id for passage in item.passages] for item in findable]
    return pl.DataFrame(
        {
            "item_id": [item.id for item in findable],
            "recall_at_k": [recall_at_k(f, i.document_ids, k) for f, i in zip(found, findable, strict=True)],
            "reciprocal_rank": [reciprocal_rank(f, i.document_ids, k) for f, i in zip(found, findable, strict=True)],
        },
        schema=RETRIEVAL_SCHEMA,
    )
