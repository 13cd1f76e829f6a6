"""The gate: decide whether a candidate may serve, from rows, by rules declared before the rows were seen.

1. Coverage: both models answered the same planned items, enough of them, and nearly all values were measured.
2. One primary metric: the lower bound of the paired cluster-bootstrap interval lies above zero, and the mean gain
   reaches the least effect that counts (see `bootstrap`).
3. Every guard metric is not inferior by its margin: the one-sided lower bound of the gain lies above minus the margin
   (Piaggio et al. 2012, CONSORT extension for non-inferiority). All must hold, so no correction for their number is due
   (intersection-union test, Berger 1982).
REJECT needs evidence of harm; everything else that is no promotion is INCONCLUSIVE. Caveat: the 2 % error is that of
one look; a thousand candidates measured on the same items still find luck, so renew the items now and then.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import polars as pl
from pydantic import Field
from scipy import stats

from tasks.core.release.verdict import Finding, Outcome, State, Verdict, spread
from tasks.core.stage import StageConfig
from tasks.core.statistics.bootstrap import Draws, detectable
from tasks.core.statistics.paired_comparison import (
    Arms,
    Better,
    Comparison,
    Metric,
    Pairs,
    Subset,
    candidate_bounds,
    compare,
    pair,
)
from tasks.core.wording import label, points, signed_points

CANDIDATE = "candidate"
GUARD_LEVEL = 0.90  # two-sided, so that each side is the one-sided 95 % bound of a non-inferiority test
POWER = 0.8


class Guard(StageConfig):
    """A metric that must not get worse by more than its margin."""

    better: Better
    margin: float = Field(gt=0, lt=1)
    """Loss that is still accepted; the evidence must exclude a greater one."""
    column: str | None = None
    """Column that holds it; None: the guard's name."""
    among: Subset = "all"
    """Items it is measured on."""
    table: Literal["rows", "probe"] = "rows"
    """Evaluation items, or the general probe outside the domain."""


GUARDS = {
    "hallucinated": Guard(better="lower", margin=0.05),
    "ungrounded": Guard(better="lower", margin=0.05),
    "token_f1": Guard(better="higher", margin=0.05, among="answerable"),
    "probe": Guard(better="higher", margin=0.10, column="correct", table="probe"),
}


class GateConfig(StageConfig):
    """The rules, declared before the measurements are seen and kept in the ledger with each verdict."""

    primary: str = "score"
    """The one metric that must improve: a column of the rows, higher is better."""
    confidence: float = Field(default=0.96, ge=0.8, lt=1)
    """Of the primary metric's two-sided interval; at 0.96 an equal model is promoted in 2 of 100 evaluations."""
    least_effect: float = Field(default=0.02, ge=0, lt=1)
    """Mean gain below which a better candidate is not worth a release."""
    floor: float = Field(default=0.3, ge=0, le=1)
    """Least mean of the primary metric for a first champion."""
    guards: dict[str, Guard] = Field(default_factory=lambda: dict(GUARDS), min_length=1)
    """What must not get worse, by name."""
    min_items: int = Field(default=200, ge=2)
    """Fewest evaluation items to decide from."""
    min_probe_items: int = Field(default=50, ge=2)
    """Fewest probe items to decide from."""
    min_clusters: int = Field(default=30, ge=2)
    """Fewest documents (clusters) behind the items; the interval is not to be trusted below some 30."""
    min_coverage: float = Field(default=0.95, gt=0, le=1)
    """Least share of measured values, for either model and every metric."""
    resamples: int = Field(default=5000, ge=1000)
    """Bootstrap resamples."""
    seed: int = 0
    """Seed of the resampling."""


@dataclass(frozen=True)
class Evidence:
    """What was measured, a row an item and model, and which items were planned (None: those of any model's rows).

    `num_items`: how many items were planned, where only that is known.
    """

    rows: pl.DataFrame
    probe: pl.DataFrame
    comparator: Literal["champion", "base"]
    items: Collection[str] | None = None
    probe_items: Collection[str] | None = None
    num_items: int | None = None


def decide(evidence: Evidence, config: GateConfig) -> Verdict:
    """Return the verdict. Whatever is missing, damaged or unclear makes it anything but PROMOTE."""
    draws = Draws(config.resamples, config.seed)
    arms = Arms(CANDIDATE, evidence.comparator, evidence.items, evidence.num_items)
    rows = pair(evidence.rows, arms, clustered=True)
    probe = pair(evidence.probe, Arms(CANDIDATE, evidence.comparator, evidence.probe_items), clustered=False)
    metric = Metric(config.primary, config.primary, "higher")
    comparison = compare(rows, metric, config.confidence, draws)
    primary = _primary(comparison, _gaps(comparison, rows, config, is_probe=False), config)
    guards = [_guard(name, guard, rows, probe, config) for name, guard in config.guards.items()]
    floor_state, floor_reason = _floor(evidence, rows, metric, config)
    findings = [primary, *guards]
    outcome = _outcome([finding.state for finding in findings], floor_state)
    reasons = [finding.sentence for finding in findings if finding.state != "held"]
    reasons += [floor_reason] if floor_state != "held" else []
    return Verdict(
        outcome=outcome,
        comparator=evidence.comparator,
        headline=_headline(outcome, primary, evidence.comparator),
        reasons=reasons if outcome != "PROMOTE" else [],
        items=comparison.items,
        clusters=comparison.clusters,
        primary=primary,
        guards=guards,
        floor=config.floor if evidence.comparator == "base" else None,
        least_effect=config.least_effect,
        least_detectable_effect=_least_detectable(comparison),
        items_needed=None if outcome != "INCONCLUSIVE" else _items_needed(findings, config),
    )


def _outcome(states: list[State], floor: State) -> Outcome:
    if "unmeasured" in (*states, floor):
        return "INCONCLUSIVE"
    if "violated" in (*states, floor):
        return "REJECT"
    return "PROMOTE" if all(state == "held" for state in (*states, floor)) else "INCONCLUSIVE"


def _gaps(comparison: Comparison, pairs: Pairs, config: GateConfig, *, is_probe: bool) -> str | None:
    """Return why the metric does not count as measured, or None."""
    name, least = label(comparison.metric), config.min_probe_items if is_probe else config.min_items
    if pairs.problems:
        return f"{name} was not measured. {' '.join(pairs.problems)}"
    if comparison.gain is None:
        return f"{name} was not measured on any item."
    if comparison.coverage < config.min_coverage:
        candidate, champion = comparison.unmeasured
        return (
            f"{name} is missing for {candidate} (candidate) and {champion} (other model) of {comparison.items} items; "
            f"at least {config.min_coverage:.0%} must be measured."
        )
    if pairs.frame.height < least:
        return f"{name} was measured on {pairs.frame.height} items; at least {least} are needed to decide."
    if comparison.clusters < config.min_clusters:
        return f"{name} rests on {comparison.clusters} documents; at least {config.min_clusters} are needed to decide."
    return None


def _primary(c: Comparison, gap: str | None, config: GateConfig) -> Finding:
    name = label(c.metric)
    state: State = "unclear"
    if gap or c.gain is None or c.low is None or c.high is None or c.at_least is None:
        state, sentence = "unmeasured", gap or f"{name} was not measured."
    elif c.high < 0:
        state, sentence = "violated", f"{name} got worse: {spread(c)}."
    elif not c.gained and not c.lost and not any(c.unmeasured):
        sentence = f"The two models answer alike: {name.lower()} does not differ on any of {c.items} items."
    elif c.low <= 0:
        sentence = f"The gain in {name.lower()} of {spread(c)} may be chance."
    elif c.at_least < config.least_effect:
        least = signed_points(config.least_effect)
        sentence = (
            f"The gain in {name.lower()} of {signed_points(c.at_least)} points is below the least that counts, {least}."
        )
    else:
        state, sentence = "held", f"{name} improved: {spread(c)}."
    return Finding(comparison=c, limit=0.0, state=state, sentence=sentence)


def _guard(name: str, guard: Guard, rows: Pairs, probe: Pairs, config: GateConfig) -> Finding:
    is_probe = guard.table == "probe"
    pairs = probe if is_probe else rows
    metric = Metric(name, guard.column or name, guard.better, guard.among)
    c = compare(pairs, metric, GUARD_LEVEL, Draws(config.resamples, config.seed))
    gap = _gaps(c, pairs, config, is_probe=is_probe)
    title, limit = label(name), -guard.margin
    state: State = "unclear"
    if gap or c.low is None or c.high is None:
        state, sentence = "unmeasured", gap or f"{title} was not measured."
    elif c.high < limit:
        state, sentence = (
            "violated",
            f"{title} got worse by more than the accepted {points(guard.margin)} points: {spread(c)}.",
        )
    elif c.low > limit:
        state, sentence = "held", f"{title} did not get worse by more than {points(guard.margin)} points: {spread(c)}."
    else:
        sentence = f"{title} may have got worse by more than the accepted {points(guard.margin)} points: {spread(c)}."
    return Finding(comparison=c, limit=limit, state=state, sentence=sentence)


def _floor(evidence: Evidence, rows: Pairs, metric: Metric, config: GateConfig) -> tuple[State, str]:
    """Return whether a first champion is good enough in itself; a later one need only beat the champion."""
    if evidence.comparator == "champion":
        return "held", ""
    if not rows.frame.height:
        return "unmeasured", "There is no champion yet and the candidate was not measured."
    least, high = candidate_bounds(rows, metric, config.confidence, Draws(config.resamples, config.seed))
    if least >= config.floor:
        return "held", ""
    name = label(metric.name).lower()
    sentence = (
        f"A first champion needs {name} of at least {points(config.floor)} points; the candidate has {points(least)}."
    )
    return ("violated" if high < config.floor else "unclear"), sentence


def _least_detectable(comparison: Comparison) -> float | None:
    if comparison.error is None:
        return None
    return round(detectable(comparison.error, comparison.level, POWER), 6)


def _items_needed(findings: list[Finding], config: GateConfig) -> int | None:
    """Return how many items would probably decide what is unclear: errors fall with the root of their number."""
    needed = [_needed(finding, config) for finding in findings if finding.state in ("unclear", "unmeasured")]
    known = [count for count in needed if count is not None]
    return max(known) if known else None


def _needed(finding: Finding, config: GateConfig) -> int | None:
    c = finding.comparison
    if finding.state == "unmeasured":
        return config.min_items if 0 < c.items < config.min_items and finding.limit == 0 else None
    if not c.error or c.gain is None:
        return None
    if finding.limit == 0:
        if c.low is not None and c.low > 0:
            return None  # a real gain that is too small stays too small
        distance = max(c.gain, config.least_effect)
    else:
        distance = abs(c.gain - finding.limit)
    quantiles = stats.norm.ppf((1 + c.level) / 2) + stats.norm.ppf(POWER)
    return math.ceil(c.items * (quantiles * c.error / distance) ** 2) if distance > 0 else None


def _headline(outcome: Outcome, primary: Finding, comparator: str) -> str:
    c = primary.comparison
    rival = "the serving model" if comparator == "champion" else "the base model"
    measured = f"{label(c.metric).lower()} {points(c.candidate)} against {points(c.champion)} of 100, gain {spread(c)}"
    if outcome == "PROMOTE":
        return f"The candidate is better than {rival} and harms nothing that is watched: {measured}."
    if outcome == "REJECT":
        return f"The candidate would do harm; {rival} stays: {measured}."
    return f"The evidence does not decide; {rival} stays: {measured}."
