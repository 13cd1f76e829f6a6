"""How well retrieval finds the documents that answer: recall at k and reciprocal rank, by document id. Pure.

Both follow Manning, Raghavan & Schütze 2008, chapter 8; their means over items are recall@k and MRR@k. The recall is
what Ragas calls IDBasedContextRecall.
"""

from collections.abc import Collection, Sequence


def recall_at_k(retrieved: Sequence[str], relevant: Collection[str], k: int) -> float:
    """Return the share of the relevant documents among those of the first `k` passages.

    Raises ValueError where nothing is relevant: such an item must not be counted.
    """
    wanted = _required(relevant)
    return len(wanted & set(retrieved[:k])) / len(wanted)


def reciprocal_rank(retrieved: Sequence[str], relevant: Collection[str], k: int) -> float:
    """Return 1 / the place of the first passage of a relevant document, 0 where none is among the first `k`."""
    wanted = _required(relevant)
    return next((1 / place for place, found in enumerate(retrieved[:k], start=1) if found in wanted), 0.0)


def _required(relevant: Collection[str]) -> set[str]:
    if not relevant:
        raise ValueError("no document is relevant to this item")
    return set(relevant)
