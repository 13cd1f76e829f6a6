"""Two-sample tests for one column of traffic, numbers or categories, each with its effect size.

Numbers: Kolmogorov-Smirnov; its effect is the greatest difference between the shares that lie below some value.
Categories: Fisher's exact test for two of them, chi-square for more, rare ones together (Cochran 1954: at least five
expected). Their effect is the total variation, the share of rows that would have to change category. The family-wise
error over several tests is held by Holm 1979. Caveat: rows must be independent; those of one user or session are not.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

MIN_EXPECTED = 5.0  # Cochran 1954, "Some methods for strengthening the common chi-square tests"


@dataclass(frozen=True)
class Difference:
    """Between two samples: how large, from 0 to 1, and how probable one as large is by chance alone."""

    effect: float
    p: float


def numbers(reference: Floats, window: Floats) -> Difference:
    """Return the difference of two samples of finite numbers. Ties make the test careful, never bold."""
    found = stats.ks_2samp(reference, window, method="asymp")
    return Difference(float(found.statistic), float(found.pvalue))


def categories(reference: Mapping[str, int], window: Mapping[str, int]) -> Difference:
    """Return the difference of two samples counted by category."""
    names = sorted(name for name in {*reference, *window} if reference.get(name, 0) + window.get(name, 0))
    counts = np.array([[sample.get(name, 0) for name in names] for sample in (reference, window)], dtype=np.float64)
    shares = counts / counts.sum(axis=1, keepdims=True)
    effect = float(np.abs(shares[0] - shares[1]).sum() / 2)
    merged = _rare_together(counts)
    if merged.shape[1] < 2:
        return Difference(effect, 1.0)
    if merged.shape[1] == 2:
        return Difference(effect, float(stats.fisher_exact(merged.astype(np.int64))[1]))
    return Difference(effect, float(stats.chi2_contingency(merged, correction=False)[1]))


def holm(p_values: Mapping[str, float], error: float) -> dict[str, float]:
    """Return the tests that hold at a family-wise `error`, each with the level it was held to."""
    held = {}
    for rank, name in enumerate(sorted(p_values, key=lambda name: (p_values[name], name))):
        level = error / (len(p_values) - rank)
        if p_values[name] > level:
            break
        held[name] = level
    return held


def _rare_together(counts: Floats) -> Floats:
    """Return the table with the categories that are too rare for chi-square as one; two categories stay as they are."""
    if counts.shape[1] <= 2:
        return counts
    expected = counts.sum(axis=0) * counts.sum(axis=1).min() / counts.sum()
    is_rare = expected < MIN_EXPECTED
    if not is_rare.any():
        return counts
    return np.column_stack([counts[:, ~is_rare], counts[:, is_rare].sum(axis=1)])


Integers = NDArray[np.int64]
