"""What changed, how is it answered, and what is to be done? The drifted part of a window, cluster by cluster.

1. Region: a row of the window is new where its nearest neighbours, among reference and window together, are rows of the
   window more often than chance explains (nearest-neighbour two-sample test, Schilling 1986, row by row, with the
   error rate of Benjamini & Hochberg 1995 over the rows).
2. Clusters: average linkage on cosine distance, cut where rows are no closer than those of the reference usually are.
3. Names: the terms whose log-odds against all other rows are surest (Monroe, Colaresi & Quinn 2008, "Fightin' Words").
4. Quality: the cluster's mean less that of the rest of the window, with Welch's interval.
5. One recommendation by declared rules, with every number that led to it.
Caveat: it describes what differs, not why; a cluster is a reason to look, and its examples are what to look at.
"""

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy import stats
from scipy.cluster import hierarchy

from tasks.core.retrieval.terms import terms
from tasks.core.stage import StageConfig
from tasks.core.statistics.mmd import Vectors
from tasks.core.statistics.two_sample import Floats
from tasks.core.wording import points, signed_points

Integers = NDArray[np.int64]
Advice = Literal["ignore", "fix_prompt", "add_documents", "label", "retrain"]

USUAL_DISTANCE = 0.05  # quantile of the distances within the reference below which two rows are on one topic
LEAST_MEASURED = 10  # values of a signal in a cluster below which its mean says nothing
NAMING_TERMS = 5
COMMON_SHARE = 0.1  # of the usual documents; a term that more of them hold names nothing
LEAST_SURETY = 2.0  # standard errors by which a term must stand out to name a cluster
BLOCK = 500  # rows whose distances to all others are held at once


class TriageConfig(StageConfig):
    """When a cluster deserves work, and which."""

    neighbours: int = Field(default=20, ge=5)
    """Nearest rows that are asked whether they are new."""
    false_rows: float = Field(default=0.05, gt=0, lt=0.5)
    """Share of the rows found new that may be usual ones."""
    min_cluster: int = Field(default=10, ge=3)
    """Fewest rows of a cluster."""
    min_share: float = Field(default=0.01, ge=0, le=1)
    """Share of the window below which a cluster is not worth work."""
    margin: float = Field(default=0.05, gt=0, lt=1)
    """Loss of quality against the rest of the window that is accepted."""
    retrieval_loss: float = Field(default=0.05, gt=0, lt=1)
    """Loss in retrieval score that means documents are missing."""
    missing_terms: float = Field(default=0.4, gt=0, le=1)
    """Share of a cluster's naming terms without a document that means documents are missing."""
    abstention_rise: float = Field(default=0.1, gt=0, lt=1)
    """Rise in the share of declined answers that means the model declines what it could answer."""
    min_lessons: int = Field(default=30, ge=1)
    """Rows with measured quality from which a retraining may learn; fewer must be labelled first."""
    confidence: float = Field(default=0.95, ge=0.8, lt=1)
    """Of the intervals."""


@dataclass(frozen=True)
class Rows:
    """Rows of records, redacted. Signals lie in [0, 1]; NaN was not measured."""

    vectors: Vectors
    """Embeddings of the questions, of length one."""
    texts: Sequence[str]
    quality: Floats
    """Higher is better."""
    retrieval: Floats
    """Score of the best document found."""
    abstained: Floats


class Gap(BaseModel):
    """A cluster's mean of a signal less that of the rest of the window; None where too little was measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cluster: float | None
    rest: float | None
    difference: float | None
    low: float | None
    high: float | None
    measured: tuple[int, int]
    """Values of the cluster, of the rest."""


class Cluster(BaseModel):
    """A part of the window that is new."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    terms: list[str]
    """Those that set it apart, the surest first."""
    missing_terms: list[str]
    """Those of them that no indexed document holds."""
    size: int
    share: float
    """Of the window."""
    rows: list[int]
    """Of the window, the most typical first."""
    quality: Gap
    retrieval: Gap
    abstained: Gap
    advice: Advice
    label_rows: list[int]
    """Rows to label, where that is the advice."""
    evidence: list[str]
    """What led to the advice, in plain words with its numbers."""


def triage(
    reference: Vectors, window: Rows, indexed: Collection[str], config: TriageConfig | None = None
) -> list[Cluster]:
    """Return the clusters of the window that the reference does not hold, the largest first.

    `indexed`: every term of the documents that can be retrieved (see `terms`).
    """
    config = config or TriageConfig()
    region = new_rows(reference, window.vectors, config)
    groups = clusters(window.vectors[region], _usual_distance(reference), config.min_cluster)
    members = sorted((region[group] for group in groups), key=lambda rows: (-len(rows), rows[0]))
    documents = [set(terms(text)) for text in window.texts]
    usual = np.setdiff1d(np.arange(len(documents)), region).tolist()
    return [_described(rows, usual, window, documents, indexed, config) for rows in members]


def new_rows(reference: Vectors, window: Vectors, config: TriageConfig) -> Integers:
    """Return the rows of the window that lie where the reference has fewer than its share, in order."""
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


def clusters(vectors: Vectors, cut: float, least: int) -> list[Integers]:
    """Return the rows of each cluster of at least `least` rows; any two lie further apart than `cut` on average."""
    if len(vectors) < max(least, 2):
        return []
    joined = hierarchy.linkage(vectors.astype(np.float64), method="average", metric="cosine")
    numbers = hierarchy.fcluster(joined, cut, criterion="distance")
    found = [np.flatnonzero(numbers == number).astype(np.int64) for number in range(1, int(numbers.max()) + 1)]
    return [rows for rows in found if len(rows) >= least]


def naming_terms(documents: Sequence[set[str]], chosen: Collection[int], usual: Collection[int] = ()) -> list[str]:
    """Return the terms that set the chosen documents apart from the others, the surest first.

    Log-odds with a prior of the whole, as many documents strong as it has of the term; a term counts once a document.
    What many of the `usual` ones have too, "what" and "of" say, is no name, however sure the difference.
    """
    inside = Counter(term for row in chosen for term in documents[row])
    whole = Counter(term for document in documents for term in document)
    size, total = len(chosen), len(documents)
    known = Counter(term for row in usual for term in documents[row])
    surest = {
        term: _surety(count, size, whole[term], total)
        for term, count in inside.items()
        if count > 1 and known[term] <= COMMON_SHARE * len(usual)
    }
    ranked = sorted(surest, key=lambda term: (-surest[term], term))
    return [term for term in ranked if surest[term] > LEAST_SURETY][:NAMING_TERMS]


def gap(values: Floats, chosen: Integers, confidence: float) -> Gap:
    """Return the mean of the chosen rows less that of the others, with Welch's interval.

    Each side counts one row more at either end of the scale, so that rows that are all alike are not sure.
    """
    is_chosen = np.zeros(len(values), dtype=bool)
    is_chosen[chosen] = True
    sides = [values[mask & (values >= 0) & (values <= 1)] for mask in (is_chosen, ~is_chosen)]
    measured = (len(sides[0]), len(sides[1]))
    means = [float(side.mean()) if len(side) >= LEAST_MEASURED else None for side in sides]
    if means[0] is None or means[1] is None:
        return Gap(cluster=means[0], rest=means[1], difference=None, low=None, high=None, measured=measured)
    padded = [np.append(side, [0.0, 1.0]) for side in sides]
    error, freedom = _welch(padded)
    off = float(stats.t.ppf((1 + confidence) / 2, freedom)) * error
    difference = means[0] - means[1]
    return Gap(
        cluster=means[0],
        rest=means[1],
        difference=difference,
        low=difference - off,
        high=difference + off,
        measured=measured,
    )


def _described(
    rows: Integers,
    usual: Sequence[int],
    window: Rows,
    documents: Sequence[set[str]],
    indexed: Collection[str],
    config: TriageConfig,
) -> Cluster:
    names = naming_terms(documents, set(rows.tolist()), usual)
    typical = _most_typical(window.vectors, rows)
    signals = {name: gap(getattr(window, name), rows, config.confidence) for name in _SIGNALS}
    missing = [term for term in names if term not in indexed]
    share = len(rows) / len(window.vectors)
    advice, evidence = _advise(signals, names, missing, share, config)
    return Cluster(
        name=", ".join(names[:3]) or "no common terms",
        terms=names,
        missing_terms=missing,
        size=len(rows),
        share=share,
        rows=typical,
        quality=signals["quality"],
        retrieval=signals["retrieval"],
        abstained=signals["abstained"],
        advice=advice,
        label_rows=_to_label(typical, window.quality, config) if advice == "label" else [],
        evidence=evidence,
    )


_SIGNALS = ("quality", "retrieval", "abstained")


def _advise(
    signals: dict[str, Gap], names: list[str], missing: list[str], share: float, config: TriageConfig
) -> tuple[Advice, list[str]]:
    """Return the advice and its evidence: the first rule that holds, in the order of what is cheapest to find out."""
    quality, retrieval, abstained = (signals[name] for name in _SIGNALS)
    size = f"It is {points(share)} % of the window"
    if share < config.min_share:
        return "ignore", [f"{size}, less than the {points(config.min_share)} % that are worth work."]
    if quality.low is None or quality.high is None:
        return "label", [f"{size}.", f"Its quality was measured on {quality.measured[0]} rows, too few to judge."]
    found = [f"{size}.", _spoken("Quality", quality)]
    if quality.low > -config.margin:
        return "ignore", [*found, f"It is answered no more than {points(config.margin)} points worse than the rest."]
    if quality.high >= 0:
        return "label", [*found, "Whether it is answered worse is not decided."]
    is_unindexed = len(missing) >= config.missing_terms * len(names) > 0
    if is_unindexed or (retrieval.high is not None and retrieval.high < -config.retrieval_loss):
        lacking = f"No document holds {', '.join(missing)}." if missing else "Its terms are in documents."
        return "add_documents", [*found, lacking, _spoken("Retrieval score", retrieval)]
    found += ["Its documents are found.", _spoken("Retrieval score", retrieval)]
    if abstained.low is not None and abstained.low > 0 and (abstained.difference or 0) >= config.abstention_rise:
        return "fix_prompt", [*found, _spoken("Declined answers", abstained)]
    if quality.measured[0] < config.min_lessons:
        few = f"Only {quality.measured[0]} of its rows are judged; {config.min_lessons} are needed to learn from."
        return "label", [*found, few]
    return "retrain", [*found, _spoken("Declined answers", abstained)]


def _spoken(name: str, found: Gap) -> str:
    if found.difference is None:
        return f"{name} was measured on {found.measured[0]} rows of it and {found.measured[1]} of the rest, too few."
    bounds = f"{signed_points(found.low)} to {signed_points(found.high)}"
    values = f"{points(found.cluster)} against {points(found.rest)} of the rest"
    return f"{name}: {values}, {signed_points(found.difference)} points ({bounds})."


def _to_label(typical: list[int], quality: Floats, config: TriageConfig) -> list[int]:
    """Return the rows without a measured quality to label, the most typical first.

    As many as bring the interval of a share down to the margin in the worst case, one half.
    """
    z = float(stats.norm.ppf((1 + config.confidence) / 2))
    needed = math.ceil((z * 0.5 / config.margin) ** 2)
    unknown = [row for row in typical if not 0 <= quality[row] <= 1]
    return unknown[: max(needed - (len(typical) - len(unknown)), 0)]


def _neighbours_in_window(everything: Vectors, num_reference: int, chosen: Integers, k: int) -> Integers:
    """Return how many of the k nearest rows of each chosen row belong to the window."""
    likeness = everything[chosen] @ everything.T
    likeness[np.arange(len(chosen)), chosen] = -np.inf
    nearest = np.argpartition(-likeness, k - 1, axis=1)[:, :k]
    counts: Integers = (nearest >= num_reference).sum(axis=1).astype(np.int64)
    return counts


def _usual_distance(reference: Vectors) -> float:
    some = reference[:: max(len(reference) // BLOCK, 1)]
    likeness = (some @ some.T)[np.triu_indices(len(some), 1)]
    return float(np.quantile(1 - likeness, USUAL_DISTANCE)) if likeness.size else 0.0


def _most_typical(vectors: Vectors, rows: Integers) -> list[int]:
    likeness = vectors[rows] @ vectors[rows].mean(axis=0)
    return [int(row) for row in rows[np.argsort(-likeness, kind="stable")]]


def _surety(inside: int, size: int, whole: int, total: int) -> float:
    """Return the z-score of the difference in log-odds of a term, inside the cluster and outside of it."""
    prior, against = whole, total - whole + 1
    outside, others = whole - inside, total - size
    odds = [
        math.log((count + prior) / (number - count + against)) for count, number in ((inside, size), (outside, others))
    ]
    return (odds[0] - odds[1]) / math.sqrt(1 / (inside + prior) + 1 / (outside + prior))


def _welch(sides: Sequence[Floats]) -> tuple[float, float]:
    """Return the standard error of a difference of means, and its degrees of freedom (Welch 1947)."""
    parts = [float(side.var(ddof=1)) / len(side) for side in sides]
    freedom = sum(parts) ** 2 / sum(part**2 / (len(side) - 1) for part, side in zip(parts, sides, strict=True))
    return math.sqrt(sum(parts)), freedom
