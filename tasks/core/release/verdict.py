"""What the gate says: the outcome, what it rests on, and the same in plain words.

The words are part of the product: they stand in the ledger, on the release note and in `ratchet why`. They count in
points out of 100, a share of 0.5 being 50 points.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from tasks.core.statistics.paired_comparison import Comparison
from tasks.core.wording import label, points, signed_points

Outcome = Literal["PROMOTE", "REJECT", "INCONCLUSIVE"]
State = Literal["held", "violated", "unclear", "unmeasured"]


EXPLANATIONS = {
    "score": "How close answers come to the right one; where the context has no answer, whether the model says so.",
    "exact_match": "Answers that are the right one word for word.",
    "token_f1": "Words shared with the right answer, on questions that the context can answer.",
    "hallucinated": "Questions answered although the context has no answer, or answered wrongly.",
    "ungrounded": "Answers with a number, name or identifier that the context does not contain.",
    "abstained": "Questions that the model declined.",
    "probe": "Everyday questions outside the domain: training must not make the model forget.",
}


class Finding(BaseModel):
    """A metric and how it came out: for the primary one `held` means better, for a guard not worse than allowed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    comparison: Comparison
    limit: float
    """Gain that the lower bound must exceed: 0 for the primary metric, minus the margin for a guard."""
    state: State
    sentence: str

    @property
    def label(self) -> str:
        return label(self.comparison.metric)

    @property
    def explanation(self) -> str:
        return EXPLANATIONS.get(self.comparison.metric, "")


class Verdict(BaseModel):
    """The gate's answer for one candidate against the model that serves, or the base model where none does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    outcome: Outcome
    comparator: Literal["champion", "base"]
    headline: str
    reasons: list[str]
    """Why not PROMOTE; empty for a promotion."""
    items: int
    clusters: int
    primary: Finding
    guards: list[Finding]
    floor: float | None
    """Least mean of the primary metric for a first champion; None where there is a champion to beat."""
    least_effect: float
    least_detectable_effect: float | None
    """True gain that this evaluation would have found with the configured power."""
    items_needed: int | None
    """How many items would decide; None where more items would not help."""


def spread(comparison: Comparison) -> str:
    """Return "+10.2 points (95 % interval +6.1 to +14.3)"."""
    c = comparison
    interval = f"{100 * c.level:.0f} % interval {signed_points(c.low)} to {signed_points(c.high)}"
    return f"{signed_points(c.gain)} points ({interval})"


def lines(verdict: Verdict) -> list[str]:
    """Return the verdict as lines of a terminal: headline, one line a metric, then why not."""
    rival = verdict.comparator
    text = [f"{verdict.outcome}: {verdict.headline}"]
    for finding in (verdict.primary, *verdict.guards):
        c = finding.comparison
        text.append(
            f"  {finding.label:<32} {points(c.candidate)} against {points(c.champion)} of the {rival}, "
            f"gain {spread(c)}, needs > {signed_points(finding.limit)}: {finding.state}"
        )
    return text + [f"  - {reason}" for reason in verdict.reasons]
