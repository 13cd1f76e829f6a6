"""Finds the new rows of a window, clusters them and names each cluster; `triage.py` gives the methods and sources."""

import math
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
from scipy import stats
from scipy.cluster import hierarchy

from tasks.core.monitoring.triage_config import TriageConfig
from tasks.core.statistics.mmd import Vectors
from tasks.core.statistics.two_sample import Integers

USUAL_DISTANCE = 0.05  # quantile of the distances within the reference below which two rows are on one topic
NAMING_TERMS = 5
COMMON_SHARE = 0.1  # of the usual documents; a term that more of them hold names nothing
MIN_Z_SCORE = 2.0  # of a term that names a cluster
BLOCK = 500  # rows whose distances to all others are held at once


def new_rows(reference: Vectors, window: Vectors, config: TriageConfig) -> Integers:
    """Return the rows of the window with fewer neighbours in the reference than chance explains, in order."""
    if not len(window) or not len(reference):
        return np.empty(0, dtype=np.int64)
    everything = np.concatenate([reference, window])
    k = min(config.neighbours, len(everything) - 1)
    blocks = [
        _neighbours_in_window(everything, len(reference), np.arange(start, min(start + BLOCK, len(everything))), k)
        for start in range(len(reference), len(everything), BLOCK)
    ]
    expected = (len(window) - 1) / (len(everything) - 1)
    p_values = stats.binom.sf(np.concatenate(blocks) - 1, k, expected)
    return np.flatnonzero(stats.false_discovery_control(p_values) <= config.false_rows).astype(np.int64)


def clusters(vectors: Vectors, cut: float, min_rows: int) -> list[Integers]:
    """Return the rows of each cluster of at least `min_rows` rows; any two lie further apart than `cut` on average."""
    if len(vectors) < max(min_rows, 2):
        return []
    joined = hierarchy.linkage(vectors.astype(np.float64), method="average", metric="cosine")
    numbers = hierarchy.fcluster(joined, cut, criterion="distance")
    found = [np.flatnonzero(numbers == number).astype(np.int64) for number in range(1, int(numbers.max()) + 1)]
    return [rows for rows in found if len(rows) >= min_rows]


def naming_terms(documents: Sequence[set[str]], chosen: Collection[int], usual: Collection[int] = ()) -> list[str]:
    """Return the terms that distinguish the chosen documents from the others, the most significant first.

    The log-odds have the frequencies of all documents as prior; a term counts once per document. A term that many of
    the `usual` documents hold, such as "what" or "of", names nothing, however significant the difference.
    """
    inside = Counter(term for row in chosen for term in documents[row])
    whole = Counter(term for document in documents for term in document)
    size, total = len(chosen), len(documents)
    known = Counter(term for row in usual for term in documents[row])
    z_scores = {
        term: _z_score(count, size, whole[term], total)
        for term, count in inside.items()
        if count > 1 and known[term] <= COMMON_SHARE * len(usual)
    }
    ranked = sorted(z_scores, key=lambda term: (-z_scores[term], term))
    return [term for term in ranked if z_scores[term] > MIN_Z_SCORE][:NAMING_TERMS]


def _neighbours_in_window(everything: Vectors, num_reference: int, chosen: Integers, k: int) -> Integers:
    """Return how many of the k nearest rows of each chosen row belong to the window."""
    similarity = everything[chosen] @ everything.T
    similarity[np.arange(len(chosen)), chosen] = -np.inf
    nearest = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
    counts: Integers = (nearest >= num_reference).sum(axis=1).astype(np.int64)
    return counts


def usual_distance(reference: Vectors) -> float:
    """Return the cosine distance below which two rows of the reference are on one topic."""
    some = reference[:: max(len(reference) // BLOCK, 1)]
    similarity = (some @ some.T)[np.triu_indices(len(some), 1)]
    return float(np.quantile(1 - similarity, USUAL_DISTANCE)) if similarity.size else 0.0


def most_typical(vectors: Vectors, rows: Integers) -> list[int]:
    """Return the rows of a cluster, those nearest to its middle first."""
    similarity = vectors[rows] @ vectors[rows].mean(axis=0)
    return [int(row) for row in rows[np.argsort(-similarity, kind="stable")]]


def _z_score(inside: int, size: int, whole: int, total: int) -> float:
    """Return the z-score of the difference in log-odds of a term, inside the cluster and outside of it."""
    prior, against = whole, total - whole + 1
    outside, others = whole - inside, total - size
    odds = [
        math.log((count + prior) / (number - count + against)) for count, number in ((inside, size), (outside, others))
    ]
    return (odds[0] - odds[1]) / math.sqrt(1 / (inside + prior) + 1 / (outside + prior))
