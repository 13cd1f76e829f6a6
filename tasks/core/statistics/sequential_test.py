"""Sequential comparison of candidate and champion, valid after every request that it is looked at.

A fixed-sample test that is looked at after every request sooner or later calls two equal models different. The bounds
here hold at all times at once, so that a rollout may stop at any of them.

Method: with independent requests the difference of two sample means, divided by its variance V, moves like a Brownian
motion whose clock is the information 1 / V, whatever share of the traffic each arm had up to then. Its drift is the
true difference, and the half-normal mixture over drifts is a martingale that exceeds 1 / alpha with probability alpha
at most (Robbins 1970; Howard et al. 2021, "Time-uniform, nonparametric, nonasymptotic confidence sequences", section
3.2). V is estimated from the data, as in Waudby-Smith et al. 2024, "Time-uniform central limit theory and asymptotic
confidence sequences". Requests of one key (a user, a session) may resemble each other; V then counts keys (Liang &
Zeger 1986). Parts with different shares are compared each for itself and their evidence is added, or traffic that got
harder as the candidate's share rose would pass for a worse candidate.

Caveat: the promise is asymptotic. Below `MIN_UNITS` keys an arm there are no bounds, and `tests/bench/canary.py`
measures the error of the rest.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.core.statistics.paired_comparison import Better

Values = float | np.float64 | NDArray[np.float64]  # of one moment, or of many at once

MIN_UNITS = 20  # keys of an arm; tests/bench/canary.py measures the error that is left
TYPICAL_EFFECT = 0.08  # difference in means for which the bounds are sharp; finds ten points soonest in the bench


@dataclass(frozen=True)
class Totals:
    """Sums over the measured requests of an arm, up to one moment or to each of many.

    A key's requests number n and add up to S. Requests without a key are each their own.
    """

    requests: Values
    keys: Values
    total: Values
    squares: Values
    """Sum of S * S over the keys."""
    products: Values
    """Sum of S * n over the keys."""
    sizes: Values
    """Sum of n * n over the keys."""


@dataclass(frozen=True)
class Evidence:
    """What a comparison has shown: score / information is the candidate's gain, 1 / information its variance.

    Evidence of separate parts of the traffic adds up.
    """

    score: Values = 0.0
    information: Values = 0.0

    def __add__(self, other: "Evidence") -> "Evidence":
        return Evidence(self.score + other.score, self.information + other.information)


@dataclass(frozen=True)
class Bounds:
    """Of the candidate's gain, each holding at all times with its own probability; without evidence -inf and inf."""

    gain: float
    low: float
    high: float

    @property
    def is_known(self) -> bool:
        return math.isfinite(self.gain)


class Arm:
    """One signal of one arm, counted up request by request in constant time."""

    def __init__(self) -> None:
        self.unmeasured = 0
        self._keys: dict[str, tuple[int, float]] = {}
        self._single = 0
        self._sums = [0.0, 0.0, 0.0, 0.0, 0.0]  # requests, total, squares, products, sizes

    @property
    def num_units(self) -> int:
        """Keys of the measured requests, one without a key being its own."""
        return self._single + len(self._keys)

    def observe(self, value: float | None, key: str | None = None) -> None:
        """Count one request. None, NaN and what lies outside [0, 1] was not measured."""
        if value is None or not 0 <= value <= 1:
            self.unmeasured += 1
            return
        n, s = self._keys.get(key, (0, 0.0)) if key is not None else (0, 0.0)
        if key is None:
            self._single += 1
        else:
            self._keys[key] = (n + 1, s + value)
        more = (1.0, value, 2 * s * value + value * value, s + (n + 1) * value, 2.0 * n + 1)
        self._sums = [old + new for old, new in zip(self._sums, more, strict=True)]

    @property
    def measured(self) -> int:
        return int(self._sums[0])

    @property
    def mean(self) -> float | None:
        return self._sums[1] / self._sums[0] if self._sums[0] else None

    def totals(self) -> Totals:
        """Return the sums up to now, as numpy scalars: an empty arm divides to NaN, not to an error."""
        requests, *rest = self._sums
        return Totals(*(np.float64(value) for value in (requests, self.num_units, *rest)))


@dataclass
class ArmComparison:
    """One signal of both arms. `better` says which way it points; a gain above zero is a better candidate."""

    better: Better
    candidate: Arm = field(default_factory=Arm)
    champion: Arm = field(default_factory=Arm)
    before: Evidence = field(default_factory=Evidence)
    """Of the parts that are over."""

    def evidence(self) -> Evidence:
        sign = 1.0 if self.better == "higher" else -1.0
        part = compare(self.candidate.totals(), self.champion.totals())
        return self.before + Evidence(sign * part.score, part.information)

    def next_part(self) -> "ArmComparison":
        """Return the comparison after a change of the share of traffic: empty arms, with the evidence so far."""
        return ArmComparison(self.better, before=self.evidence())


def compare(candidate: Totals, champion: Totals) -> Evidence:
    """Return the evidence on mean(candidate) - mean(champion); none where an arm has fewer than MIN_UNITS keys.

    No arm's variance counts as less than that of both together: an arm without a single error among few requests has
    not shown that it makes none.
    """
    arms = (candidate, champion)
    is_enough = np.minimum(candidate.keys, champion.keys) >= MIN_UNITS
    with np.errstate(divide="ignore", invalid="ignore"):
        own = [_variance(arm) for arm in arms]
        together = sum(one * arm.requests for one, arm in zip(own, arms, strict=True)) / sum(a.requests for a in arms)
        variance = sum(np.maximum(one, together) / arm.requests for one, arm in zip(own, arms, strict=True))
        information = np.where(is_enough, 1 / variance, 0.0)
        gain = np.where(is_enough, candidate.total / candidate.requests - champion.total / champion.requests, 0.0)
    return Evidence(gain * information, information)


def radius(information: Values, alpha: float, effect: float = TYPICAL_EFFECT) -> Any:
    """Return by how much the gain may be off, to one side, with probability alpha at any time; inf without information.

    Robbins' half-normal mixture with scale `effect`; Phi(y) >= 1 - exp(-y * y / 2) / 2 makes its boundary explicit.
    """
    weight = np.asarray(information) * effect**2
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.log(0.5 + np.sqrt(1 + weight) / (2 * alpha))
        width = effect * np.sqrt(2 * log * (1 + weight)) / weight
    return np.where(weight > 0, width, math.inf)


def bounds(evidence: Evidence, alpha_low: float, alpha_high: float) -> Bounds:
    """Return the gain and its bounds: each is wrong, at any time, with at most the probability given for it."""
    if not evidence.information:
        return Bounds(math.nan, -math.inf, math.inf)
    gain = float(evidence.score / evidence.information)
    low, high = (float(radius(evidence.information, alpha)) for alpha in (alpha_low, alpha_high))
    return Bounds(gain, gain - low, gain + high)


def _variance(arm: Totals) -> Any:
    """Return the variance of a request, its share in that of its key included.

    It counts one key more than there are, as far off the mean as a signal can be.
    """
    mean = arm.total / arm.requests
    spread = arm.squares - 2 * mean * arm.products + mean * mean * arm.sizes
    return (np.maximum(spread, 0) + arm.sizes / arm.requests) / arm.requests * arm.keys / (arm.keys - 1)
