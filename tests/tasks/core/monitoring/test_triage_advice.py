"""The rules of triage, each by itself and in their order."""

from typing import Any

import numpy as np
import pytest

from tasks.core.monitoring.signal_gaps import ClusterFacts, Gap
from tasks.core.monitoring.triage_advice import RULES, first_rule, rows_to_label
from tasks.core.monitoring.triage_config import TriageConfig

CONFIG = TriageConfig()


def measured(low: float, high: float, num_rows: int = 100) -> Gap:
    middle = (low + high) / 2
    return Gap(cluster=0.5 + middle, rest=0.5, difference=middle, low=low, high=high, measured=(num_rows, 400))


UNMEASURED = Gap(cluster=None, rest=0.9, difference=None, low=None, high=None, measured=(3, 400))
SAME, WORSE = measured(-0.02, 0.02), measured(-0.4, -0.2)


def facts(**changes: Any) -> ClusterFacts:
    """Return a cluster that is answered worse although its documents are found and it is not declined more often."""
    values: dict[str, Any] = {
        "share": 0.2, "num_terms": 5, "missing_terms": [], "quality": WORSE, "retrieval": SAME, "abstained": SAME,
    }  # fmt: skip
    return ClusterFacts(**{**values, **changes})


@pytest.mark.parametrize(
    ("name", "changes", "advice", "last_sentence"),
    [
        ("small", {"share": 0.009}, "ignore", "It is 0.9 % of the window, less than the 1.0 % that are worth work."),
        ("unjudged", {"quality": UNMEASURED}, "label", "Its quality was measured on 3 rows, too few to judge."),
        ("as good", {"quality": SAME}, "ignore", "It is answered no more than 5.0 points worse than the rest."),
        ("undecided", {"quality": measured(-0.3, 0.1)}, "label", "Whether it is answered worse is not decided."),
        (
            "documents missing",
            {"missing_terms": ["scipy", "stats"]},
            "add_documents",
            "Retrieval score: 50.0 against 50.0 of the rest, +0.0 points (-2.0 to +2.0).",
        ),
        (
            "documents missing",
            {"retrieval": measured(-0.3, -0.1)},
            "add_documents",
            "Retrieval score: 30.0 against 50.0 of the rest, -20.0 points (-30.0 to -10.0).",
        ),
        (
            "declined",
            {"abstained": measured(0.1, 0.3)},
            "fix_prompt",
            "Declined answers: 70.0 against 50.0 of the rest, +20.0 points (+10.0 to +30.0).",
        ),
        (
            "few lessons",
            {"quality": measured(-0.4, -0.2, num_rows=29)},
            "label",
            "Only 29 of its rows are judged; 30 are needed to learn from.",
        ),
        (
            "worse",
            {},
            "retrain",
            "Declined answers: 50.0 against 50.0 of the rest, +0.0 points (-2.0 to +2.0).",
        ),
    ],
)
def test_each_rule_gives_its_advice_and_its_evidence(
    name: str, changes: dict[str, Any], advice: str, last_sentence: str
) -> None:
    found = facts(**changes)
    rule = first_rule(found, CONFIG)
    assert (rule.name, rule.advice) == (name, advice)
    assert rule.evidence(found, CONFIG)[-1] == last_sentence


@pytest.mark.parametrize(
    ("name", "holds", "does_not_hold"),
    [
        ("small", {"share": 0.009}, {"share": 0.01}),
        ("unjudged", {"quality": UNMEASURED}, {"quality": WORSE}),
        ("as good", {"quality": measured(-0.049, 0.1)}, {"quality": measured(-0.05, 0.1)}),
        ("undecided", {"quality": measured(-0.3, 0.0)}, {"quality": measured(-0.3, -0.001)}),
        ("documents missing", {"missing_terms": ["a", "b"]}, {"missing_terms": ["a"]}),
        ("documents missing", {"retrieval": measured(-0.2, -0.051)}, {"retrieval": measured(-0.2, -0.05)}),
        ("declined", {"abstained": measured(0.001, 0.201)}, {"abstained": measured(0.0, 0.3)}),
        ("declined", {"abstained": measured(0.05, 0.15)}, {"abstained": measured(0.01, 0.18)}),
        (
            "few lessons",
            {"quality": measured(-0.4, -0.2, num_rows=29)},
            {"quality": measured(-0.4, -0.2, num_rows=30)},
        ),
    ],
)
def test_each_rule_holds_up_to_its_threshold(name: str, holds: dict[str, Any], does_not_hold: dict[str, Any]) -> None:
    (rule,) = (rule for rule in RULES if rule.name == name)
    assert rule.holds(facts(**holds), CONFIG)
    assert not rule.holds(facts(**does_not_hold), CONFIG)


def test_an_unmeasured_signal_holds_against_nothing() -> None:
    unknown = facts(quality=UNMEASURED, retrieval=UNMEASURED, abstained=UNMEASURED)
    held = [rule.name for rule in RULES if rule.holds(unknown, CONFIG)]
    assert held == ["unjudged", "few lessons", "worse"]


def test_a_cluster_without_terms_lacks_no_documents() -> None:
    assert first_rule(facts(num_terms=0), CONFIG).name == "worse"


def test_the_rules_are_read_from_the_top_and_the_last_one_always_holds() -> None:
    everything = facts(share=0.001, quality=UNMEASURED, missing_terms=["a"] * 5, abstained=measured(0.2, 0.4))
    assert first_rule(everything, CONFIG) is RULES[0]
    assert RULES[-1].holds(everything, CONFIG)
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_rows_to_label_are_unmeasured_rows_and_no_more_than_the_margin_needs() -> None:
    quality = np.array([1.0, np.nan, 0.0, np.nan, np.nan])
    assert rows_to_label([4, 0, 3, 2, 1], quality, CONFIG) == [4, 3, 1]
    many = np.full(1000, np.nan)
    assert rows_to_label(list(range(1000)), many, TriageConfig(margin=0.1)) == list(range(97))
