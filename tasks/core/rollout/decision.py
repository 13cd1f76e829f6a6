"""Decide whether a rollout's candidate gets a larger share, waits, or is rolled back, from signals of both arms.

ROLLBACK where the evidence shows harm: the primary signal is worse, or a guard is worse by more than its margin.
ADVANCE where every signal has shown what the rule asks for and the step has served enough. WAIT is everything else.
All bounds hold at all times at once (see `sequential`), over all steps of the rollout. The probability of a false
rollback is shared out among the signals (Bonferroni); an advance needs all signals, so each may use its probability
in full (intersection-union test, Berger 1982). What was not measured is no evidence: it neither advances nor rolls
back. Caveat: signals that are measured only on some requests (feedback) speak for those alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tasks.core.release.verdict import State
from tasks.core.stage import StageConfig
from tasks.core.statistics.paired_comparison import Better
from tasks.core.statistics.sequential_test import MIN_UNITS, ArmComparison, Bounds, bounds
from tasks.core.wording import label, points, signed_points

Step = Literal["ADVANCE", "ROLLBACK", "WAIT"]
ArmName = Literal["candidate", "champion"]


class SignalRule(StageConfig):
    """A signal of each request, between 0 and 1."""

    better: Better
    margin: float = Field(ge=0, lt=1)
    """Loss that is still accepted; for the primary signal only where `advance` is "not_worse"."""
    min_coverage: float = Field(default=0.95, ge=0, le=1)
    """Least share of requests with a value, in either arm, below which the signal counts as not measured."""
    advance_needs_it: bool = True
    """Whether the share grows only with evidence on this signal; False: it can but roll back."""


WATCHED = {
    "quality": SignalRule(better="higher", margin=0.03),
    "errors": SignalRule(better="lower", margin=0.02),
    "slow": SignalRule(better="lower", margin=0.05),
    "abstained": SignalRule(better="lower", margin=0.05),
    "ungrounded": SignalRule(better="lower", margin=0.05, min_coverage=0.8),
    "negative_feedback": SignalRule(better="lower", margin=0.10, min_coverage=0.0, advance_needs_it=False),
}


class RolloutRule(StageConfig):
    """When the candidate's share grows and when it falls to nothing; declared before the first request."""

    primary: str = "quality"
    """The signal that decides whether the candidate is better; the others are guards."""
    signals: dict[str, SignalRule] = Field(default_factory=lambda: dict(WATCHED), min_length=1)
    """Everything that is watched, by name."""
    advance: Literal["better", "not_worse"] = "not_worse"
    """What the primary signal must show: a gain above zero, or a loss below its margin."""
    min_requests: int = Field(default=100, ge=20)
    """Fewest requests that the candidate answers at a step."""
    false_rollback: float = Field(default=0.05, gt=0, lt=0.5)
    """Probability that a candidate as good as the champion is ever rolled back."""
    primary_part: float = Field(default=0.75, gt=0, lt=1)
    """Part of that probability that the primary signal has, its values varying most; the guards share the rest."""
    false_advance: float = Field(default=0.05, gt=0, lt=0.5)
    """Probability that a candidate is ever found better, or not worse, that is not."""

    @model_validator(mode="after")
    def _primary_is_watched(self) -> Self:
        if self.primary not in self.signals:
            raise ValueError(f"primary {self.primary!r} is not among the signals {', '.join(self.signals)}: add it")
        if not self.signals[self.primary].advance_needs_it:
            raise ValueError(f"primary {self.primary!r} must be needed to advance: remove advance_needs_it")
        return self

    def harm_limit(self, name: str) -> float:
        """Return the gain below which the signal is harmed."""
        return 0.0 if name == self.primary else -self.signals[name].margin

    def needed(self, name: str) -> float:
        """Return the gain that the signal must be shown to exceed before the share grows."""
        return 0.0 if name == self.primary and self.advance == "better" else -self.signals[name].margin

    def rollback_alpha(self, name: str) -> float:
        """Return the signal's part of the probability of a false rollback."""
        num_guards = len(self.signals) - 1
        if name == self.primary:
            return self.false_rollback * (self.primary_part if num_guards else 1.0)
        return self.false_rollback * (1 - self.primary_part) / num_guards


class SignalFinding(BaseModel):
    """How one signal stands. A gain above zero means a better candidate, whichever way the signal points."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    signal: str
    state: State
    """held: shows what an advance needs; violated: shows harm."""
    requests: tuple[int, int]
    """Measured at this step: candidate, champion."""
    candidate: float | None
    """Mean at this step."""
    champion: float | None
    gain: float | None
    """Over all steps, as are the bounds; None where too little was measured."""
    low: float | None
    high: float | None
    needed: float
    """Gain that `low` must exceed for an advance."""
    harm_limit: float
    """Gain below which `high` means a rollback."""
    sentence: str


class RolloutDecision(BaseModel):
    """What to do with the candidate's share now, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    outcome: Step
    requests: tuple[int, int]
    """At this step: candidate, champion."""
    headline: str
    reasons: list[str]
    """Each signal that led to the outcome, in plain words with its numbers."""
    findings: list[SignalFinding]


@dataclass
class Rollout:
    """Both arms of a rollout, counted up request by request in constant time."""

    rule: RolloutRule
    comparisons: dict[str, ArmComparison]
    served: dict[ArmName, int]
    """Requests at this step."""

    @classmethod
    def start(cls, rule: RolloutRule) -> Self:
        comparisons = {name: ArmComparison(signal.better) for name, signal in rule.signals.items()}
        return cls(rule, comparisons, {"candidate": 0, "champion": 0})

    def observe(self, arm: ArmName, signals: Mapping[str, float | None], key: str | None = None) -> None:
        """Count one answered request. A signal that is absent, None or NaN was not measured; unknown ones are ignored.

        `key`: who asked, where the same ones ask again and stay with their arm.
        """
        self.served[arm] += 1
        for name, comparison in self.comparisons.items():
            side = comparison.candidate if arm == "candidate" else comparison.champion
            side.observe(signals.get(name), key)

    def next_step(self) -> "Rollout":
        """Return the rollout to go on with when the share has changed: the evidence stays, requests count anew."""
        comparisons = {name: comparison.next_part() for name, comparison in self.comparisons.items()}
        return Rollout(self.rule, comparisons, {"candidate": 0, "champion": 0})

    def decide(self) -> RolloutDecision:
        """Return what the requests so far say; any number of looks leaves its probabilities of error as declared."""
        findings = [_find(self.rule, name, comparison) for name, comparison in self.comparisons.items()]
        requests = (self.served["candidate"], self.served["champion"])
        outcome = _outcome(findings, requests[0], self.rule)
        reasons = _reasons(outcome, findings, requests[0], self.rule)
        headline = f"{_HEADLINES[outcome]} after {requests[0]} requests at this step (champion: {requests[1]})."
        return RolloutDecision(
            outcome=outcome, requests=requests, headline=headline, reasons=reasons, findings=findings
        )


_HEADLINES: dict[Step, str] = {
    "ADVANCE": "The candidate keeps its limits",
    "ROLLBACK": "The candidate does harm and goes back",
    "WAIT": "The evidence does not decide yet",
}


def _outcome(findings: list[SignalFinding], served: int, rule: RolloutRule) -> Step:
    if any(finding.state == "violated" for finding in findings):
        return "ROLLBACK"
    is_open = any(finding.state != "held" for finding in _deciding(findings, rule))
    return "WAIT" if is_open or served < rule.min_requests else "ADVANCE"


def _deciding(findings: list[SignalFinding], rule: RolloutRule) -> list[SignalFinding]:
    """Return those that must hold before the share grows."""
    return [finding for finding in findings if rule.signals[finding.signal].advance_needs_it]


def _reasons(outcome: Step, findings: list[SignalFinding], served: int, rule: RolloutRule) -> list[str]:
    if outcome == "ROLLBACK":
        return [finding.sentence for finding in findings if finding.state == "violated"]
    if outcome == "ADVANCE":
        return [finding.sentence for finding in _deciding(findings, rule)]
    few = f"The candidate has answered {served} requests at this step; at least {rule.min_requests} are needed."
    open_ones = [finding.sentence for finding in _deciding(findings, rule) if finding.state != "held"]
    return [*([few] if served < rule.min_requests else []), *open_ones]


def _find(rule: RolloutRule, name: str, comparison: ArmComparison) -> SignalFinding:
    found = bounds(comparison.evidence(), rule.false_advance, rule.rollback_alpha(name))
    gap = _gap(name, rule.signals[name], comparison, found)
    needed, harm_limit = rule.needed(name), rule.harm_limit(name)
    if found.high < harm_limit:
        state: State = "violated"
    elif gap:
        state = "unmeasured"
    else:
        state = "held" if found.low > needed else "unclear"
    return SignalFinding(
        signal=name,
        state=state,
        requests=(comparison.candidate.measured, comparison.champion.measured),
        candidate=comparison.candidate.mean,
        champion=comparison.champion.mean,
        gain=found.gain if found.is_known else None,
        low=found.low if found.is_known else None,
        high=found.high if found.is_known else None,
        needed=needed,
        harm_limit=harm_limit,
        sentence=gap if gap and state == "unmeasured" else _sentence(name, state, found, (needed, harm_limit)),
    )


def _gap(name: str, signal: SignalRule, comparison: ArmComparison, found: Bounds) -> str | None:
    """Return why the signal does not count as measured, or None."""
    for arm, title in ((comparison.candidate, "candidate"), (comparison.champion, "champion")):
        asked = arm.measured + arm.unmeasured
        if asked and arm.measured < signal.min_coverage * asked:
            return (
                f"{label(name)} was measured on {arm.measured} of the {title}'s {asked} requests; "
                f"at least {signal.min_coverage:.0%} are needed."
            )
    if found.is_known:
        return None
    return (
        f"{label(name)} was measured with {comparison.candidate.num_units} askers of the candidate and "
        f"{comparison.champion.num_units} of the champion; at least {MIN_UNITS} of each are needed."
    )


def _sentence(name: str, state: State, found: Bounds, limits: tuple[float, float]) -> str:
    needed, harm_limit = limits
    spread = f"{signed_points(found.gain)} points ({signed_points(found.low)} to {signed_points(found.high)})"
    if state == "violated":
        return f"{label(name)} got worse{_beyond(harm_limit)}: {spread}."
    if not needed:
        return f"{label(name)} {'improved' if state == 'held' else 'is not yet shown to improve'}: {spread}."
    verb = "did not get worse" if state == "held" else "may have got worse"
    return f"{label(name)} {verb}{_beyond(needed)}: {spread}."


def _beyond(limit: float) -> str:
    return f" by more than the accepted {points(-limit)} points" if limit else ""
