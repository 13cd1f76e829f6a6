"""Bootstrap intervals for a mean of paired differences whose items come in clusters.

Method: the cluster bootstrap (Efron & Tibshirani 1993, ch. 8 and 13; Cameron, Gelbach & Miller 2008) draws whole
clusters, here documents, with replacement; the interval is the percentile one, with the quantile levels widened for few
clusters (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", expanded percentile interval). It is chosen
over BCa because with fixed draws every bound grows with every single difference: a worse measurement can never help.
Caveat: below some 30 clusters no such interval keeps its promise.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special  # a tenth of the import time of scipy.stats, which every command would pay

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BLOCK_VALUES = 4_000_000  # of a block of weights: 32 MB, so memory does not grow with the number of clusters


@dataclass(frozen=True)
class Draws:
    """How often to resample, and from which seed."""

    resamples: int
    seed: int


@dataclass(frozen=True)
class Bounds:
    """Of a mean: its estimate, the resampled standard error, and the lower and upper bound of the interval."""

    mean: float
    error: float
    low: float
    high: float


def interval(values: Floats, clusters: Integers, level: float, draws: Draws) -> Bounds:
    """Return the two-sided interval of `level` (0.95) for the mean of `values`, whose clusters are 0, 1, 2 ...

    A one-sided bound of 95 % is a side of the two-sided interval of 90 %.
    """
    sums = np.bincount(clusters, weights=values).astype(np.float64)
    sizes = np.bincount(clusters).astype(np.float64)
    means = _resampled_means(sums, sizes, draws)
    tail = expanded_tail((1 - level) / 2, effective_clusters(sizes))
    low, high = np.quantile(means, [tail, 1 - tail])
    return Bounds(float(values.mean()), float(means.std(ddof=1)), float(low), float(high))


def effective_clusters(sizes: Floats) -> float:
    """Return how many equal clusters carry as much evidence as these: fewer than there are where sizes are uneven.

    Source: Carter, Schnepel & Steigerwald 2017, "Asymptotic Behavior of a t-Test Robust to Cluster Heterogeneity", for
    items of a cluster that are all alike, the worst case.
    """
    squares = sizes**2
    return float(squares.sum() ** 2 / (squares**2).sum())


@lru_cache(maxsize=64)
def expanded_tail(tail: float, num_clusters: float) -> float:
    """Return the smaller quantile level that makes up for a bootstrap that is too narrow for few clusters."""
    if num_clusters < 2:
        return 0.0
    t = special.stdtrit(num_clusters - 1, tail)
    return float(special.ndtr(np.sqrt(num_clusters / (num_clusters - 1)) * t))


def detectable(error: float, level: float, power: float) -> float:
    """Return the least true gain that a lower bound of `level` finds above zero with probability `power`."""
    return float((special.ndtri((1 + level) / 2) + special.ndtri(power)) * error)


def _resampled_means(sums: Floats, sizes: Floats, draws: Draws) -> Floats:
    blocks = [(weights @ sums) / (weights @ sizes) for weights in _weights(len(sizes), draws)]
    return np.concatenate(blocks)


def _weights(num_clusters: int, draws: Draws) -> Iterator[Floats]:
    """Yield how often each cluster is drawn, a row a resample. The blocks' size does not change the values."""
    if num_clusters * draws.resamples <= BLOCK_VALUES:
        yield _cached_weights(num_clusters, draws)
        return
    generator = np.random.default_rng(draws.seed)
    rows = max(1, BLOCK_VALUES // num_clusters)
    for start in range(0, draws.resamples, rows):
        yield _draw(generator, num_clusters, min(rows, draws.resamples - start))


@lru_cache(maxsize=4)
def _cached_weights(num_clusters: int, draws: Draws) -> Floats:
    weights = _draw(np.random.default_rng(draws.seed), num_clusters, draws.resamples)
    weights.flags.writeable = False
    return weights


def _draw(generator: np.random.Generator, num_clusters: int, rows: int) -> Floats:
    equal = np.full(num_clusters, 1 / num_clusters)
    return generator.multinomial(num_clusters, equal, size=rows).astype(np.float64)
