"""The evidence for each recommendation of triage as sentences, with its numbers."""

from tasks.core.monitoring.signal_gaps import ClusterFacts, Gap
from tasks.core.monitoring.triage_config import TriageConfig
from tasks.core.wording import points, signed_points


def small(facts: ClusterFacts, config: TriageConfig) -> list[str]:
    return [f"{_size(facts)}, less than the {points(config.min_share)} % that are worth work."]


def unjudged(facts: ClusterFacts, config: TriageConfig) -> list[str]:
    return [f"{_size(facts)}.", f"Its quality was measured on {facts.quality.measured[0]} rows, too few to judge."]


def as_good(facts: ClusterFacts, config: TriageConfig) -> list[str]:
    return [
        *_size_and_quality(facts),
        f"It is answered no more than {points(config.margin)} points worse than the rest.",
    ]


def undecided(facts: ClusterFacts, config: TriageConfig) -> list[str]:
    return [*_size_and_quality(facts), "Whether it is answered worse is not decided."]


def documents_missing(facts: ClusterFacts, config: TriageConfig) -> list[str]:
    missing = facts.missing_terms
    lacking = f"No document holds {', '.join(missing)}." if missing else "Its terms are in documents."
    return [*_size_and_quality(facts), lacking, gap_in_words("Retrieval score", facts.retrieval)]


def declined(facts: ClusterFacts, config: TriageConfig) -> list[str]:
    return [*_documents_found(facts), gap_in_words("Declined answers", facts.abstained)]


def few_lessons(facts: ClusterFacts, config: TriageConfig) -> list[str]:
    judged = facts.quality.measured[0]
    return [
        *_documents_found(facts),
        f"Only {judged} of its rows are judged; {config.min_lessons} are needed to learn from.",
    ]


def gap_in_words(name: str, found: Gap) -> str:
    """Return a signal of the cluster beside that of the rest, in points out of 100."""
    if found.difference is None:
        return f"{name} was measured on {found.measured[0]} rows of it and {found.measured[1]} of the rest, too few."
    bounds = f"{signed_points(found.low)} to {signed_points(found.high)}"
    values = f"{points(found.cluster)} against {points(found.rest)} of the rest"
    return f"{name}: {values}, {signed_points(found.difference)} points ({bounds})."


def _size(facts: ClusterFacts) -> str:
    return f"It is {points(facts.share)} % of the window"


def _size_and_quality(facts: ClusterFacts) -> list[str]:
    return [f"{_size(facts)}.", gap_in_words("Quality", facts.quality)]


def _documents_found(facts: ClusterFacts) -> list[str]:
    return [*_size_and_quality(facts), "Its documents are found.", gap_in_words("Retrieval score", facts.retrieval)]
