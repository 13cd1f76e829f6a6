"""What is measured of a drifted cluster: how its quality and other signals differ from the rest of the window."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy import stats

from tasks.core.statistics.two_sample import Floats, Integers

MIN_MEASURED = 10  # values of a signal in a cluster below which its mean says nothing


class Gap(BaseModel):
    """A cluster's mean of a signal minus that of the rest of the window; None where too few values were measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cluster: float | None
    rest: float | None
    difference: float | None
    low: float | None
    high: float | None
    measured: tuple[int, int]
    """Number of values: cluster, rest."""


@dataclass(frozen=True)
class ClusterFacts:
    """What the rules of `triage_advice` decide from."""

    share: float
    """Of the window."""
    num_terms: int
    missing_terms: Sequence[str]
    """SourceTerms of the cluster's name that no indexed document holds."""
    quality: Gap
    retrieval: Gap
    abstained: Gap


def gap(values: Floats, chosen: Integers, confidence: float) -> Gap:
    """Return the mean of the chosen rows minus that of the others, with Welch's interval.

    The interval counts a 0 and a 1 more on each side, so that its width is not zero where all rows are equal.
    """
    is_chosen = np.zeros(len(values), dtype=bool)
    is_chosen[chosen] = True
    sides = [values[mask & (values >= 0) & (values <= 1)] for mask in (is_chosen, ~is_chosen)]
    measured = (len(sides[0]), len(sides[1]))
    means = [float(side.mean()) if len(side) >= MIN_MEASURED else None for side in sides]
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


def _welch(sides: Sequence[Floats]) -> tuple[float, float]:
    """Return the standard error of a difference of means, and its degrees of freedom (Welch 1947)."""
    parts = [float(side.var(ddof=1)) / len(side) for side in sides]
    freedom = sum(parts) ** 2 / sum(part**2 / (len(side) - 1) for part, side in zip(parts, sides, strict=True))
    return math.sqrt(sum(parts)), freedom
