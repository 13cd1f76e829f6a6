"""Triage of a drifted window: clusters of new questions, how well they are answered, and one recommendation each.

1. New rows: a row of the window is new where more of its nearest neighbours, among reference and window together, are
   rows of the window than chance explains (nearest-neighbour two-sample test, Schilling 1986, row by row, with the
   false discovery rate of Benjamini & Hochberg 1995 over the rows).
2. Clusters: average linkage on cosine distance, cut at a distance that is typical of one topic in the reference.
3. Names: the terms with the highest z-score of the log-odds against all other rows (Monroe, Colaresi & Quinn 2008,
   "Fightin' Words").
4. Quality: the cluster's mean minus that of the rest of the window, with Welch's interval.
5. Recommendation: the first rule of `triage_advice` that holds, with the numbers it rests on.
Caveat: it describes what differs, not why; look at the examples of a cluster before you act.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict

from tasks.core.monitoring.clusters import clusters, most_typical, naming_terms, new_rows, usual_distance
from tasks.core.monitoring.signal_gaps import ClusterFacts, Gap, gap
from tasks.core.monitoring.triage_advice import Advice, first_rule, rows_to_label
from tasks.core.monitoring.triage_config import TriageConfig
from tasks.core.retrieval.terms import terms
from tasks.core.statistics.mmd import Vectors
from tasks.core.statistics.two_sample import Floats, Integers


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


class Cluster(BaseModel):
    """A cluster of new rows of the window."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    terms: list[str]
    """Terms that distinguish it, the most significant first."""
    missing_terms: list[str]
    """Those of its terms that no indexed document holds."""
    size: int
    share: float
    """Share of the window."""
    rows: list[int]
    """Row numbers of the window, the most typical first."""
    quality: Gap
    retrieval: Gap
    abstained: Gap
    advice: Advice
    label_rows: list[int]
    """Rows to label, where that is the advice."""
    evidence: list[str]
    """Sentences with the numbers that led to the advice."""


def triage(
    reference: Vectors, window: Rows, indexed: Collection[str], config: TriageConfig | None = None
) -> list[Cluster]:
    """Return the clusters of the window that the reference does not hold, the largest first.

    `indexed`: every term of the documents that can be retrieved (see `terms`).
    """
    config = config or TriageConfig()
    new = new_rows(reference, window.vectors, config)
    groups = clusters(window.vectors[new], usual_distance(reference), config.min_cluster)
    members = sorted((new[group] for group in groups), key=lambda rows: (-len(rows), rows[0]))
    documents = [set(terms(text)) for text in window.texts]
    usual = np.setdiff1d(np.arange(len(documents)), new).tolist()
    return [_described(rows, usual, window, documents, indexed, config) for rows in members]


def _described(
    rows: Integers,
    usual: Sequence[int],
    window: Rows,
    documents: Sequence[set[str]],
    indexed: Collection[str],
    config: TriageConfig,
) -> Cluster:
    names = naming_terms(documents, set(rows.tolist()), usual)
    typical = most_typical(window.vectors, rows)
    facts = ClusterFacts(
        share=len(rows) / len(window.vectors),
        num_terms=len(names),
        missing_terms=[term for term in names if term not in indexed],
        quality=gap(window.quality, rows, config.confidence),
        retrieval=gap(window.retrieval, rows, config.confidence),
        abstained=gap(window.abstained, rows, config.confidence),
    )
    rule = first_rule(facts, config)
    return Cluster(
        name=", ".join(names[:3]) or "no common terms",
        terms=names,
        missing_terms=list(facts.missing_terms),
        size=len(rows),
        share=facts.share,
        rows=typical,
        quality=facts.quality,
        retrieval=facts.retrieval,
        abstained=facts.abstained,
        advice=rule.advice,
        label_rows=rows_to_label(typical, window.quality, config) if rule.advice == "label" else [],
        evidence=rule.evidence(facts, config),
    )
