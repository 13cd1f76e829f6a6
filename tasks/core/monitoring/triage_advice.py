"""The recommendation for a drifted cluster: a table of rules, read from the top; the first that holds decides.

Cheaper checks come first. Every rule gives its evidence with the numbers that it rests on.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from tasks.core.monitoring import triage_wording as wording
from tasks.core.monitoring.signal_gaps import ClusterFacts
from tasks.core.monitoring.triage_config import TriageConfig
from tasks.core.statistics.two_sample import Floats

Advice = Literal["ignore", "fix_prompt", "add_documents", "label", "retrain"]


@dataclass(frozen=True)
class Rule:
    """A condition with its advice. `evidence` returns sentences; it is asked only where the condition holds."""

    name: str
    advice: Advice
    holds: Callable[[ClusterFacts, TriageConfig], bool]
    evidence: Callable[[ClusterFacts, TriageConfig], list[str]]


def _is_unjudged(facts: ClusterFacts, config: TriageConfig) -> bool:
    return facts.quality.low is None or facts.quality.high is None


def _is_as_good(facts: ClusterFacts, config: TriageConfig) -> bool:
    return facts.quality.low is not None and facts.quality.low > -config.margin


def _may_be_as_good(facts: ClusterFacts, config: TriageConfig) -> bool:
    return facts.quality.high is not None and facts.quality.high >= 0


def _lacks_documents(facts: ClusterFacts, config: TriageConfig) -> bool:
    is_unindexed = len(facts.missing_terms) >= config.missing_terms * facts.num_terms > 0
    return is_unindexed or (facts.retrieval.high is not None and facts.retrieval.high < -config.retrieval_loss)


def _declines_more(facts: ClusterFacts, config: TriageConfig) -> bool:
    declined = facts.abstained
    return declined.low is not None and declined.low > 0 and (declined.difference or 0) >= config.abstention_rise


def _has_few_lessons(facts: ClusterFacts, config: TriageConfig) -> bool:
    return facts.quality.measured[0] < config.min_lessons


RULES: tuple[Rule, ...] = (
    Rule("small", "ignore", lambda facts, config: facts.share < config.min_share, wording.small),
    Rule("unjudged", "label", _is_unjudged, wording.unjudged),
    Rule("as good", "ignore", _is_as_good, wording.as_good),
    Rule("undecided", "label", _may_be_as_good, wording.undecided),
    Rule("documents missing", "add_documents", _lacks_documents, wording.documents_missing),
    Rule("declined", "fix_prompt", _declines_more, wording.declined),
    Rule("few lessons", "label", _has_few_lessons, wording.few_lessons),
    Rule("worse", "retrain", lambda facts, config: True, wording.declined),
)


def first_rule(facts: ClusterFacts, config: TriageConfig) -> Rule:
    """Return the first rule that holds; the last one always does."""
    return next(rule for rule in RULES if rule.holds(facts, config))


def rows_to_label(typical: list[int], quality: Floats, config: TriageConfig) -> list[int]:
    """Return the rows without a measured quality to label, the most typical first.

    As many as bring the interval of a share down to the margin in the worst case, one half.
    """
    z = float(stats.norm.ppf((1 + config.confidence) / 2))
    needed = math.ceil((z * 0.5 / config.margin) ** 2)
    unknown = [row for row in typical if not 0 <= quality[row] <= 1]
    return unknown[: max(needed - (len(typical) - len(unknown)), 0)]
