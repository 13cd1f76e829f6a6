"""Maximum mean discrepancy: whether two sets of embeddings come from the same distribution.

Method: the maximum mean discrepancy with a Gaussian kernel (Gretton et al. 2012, "A Kernel Two-Sample Test"), its
unbiased estimate compared with that of permuted labels. The kernel's width is half the usual median distance: a new
topic is narrower than the traffic it joins. All permutations of a batch are one product of matrices; where many of
them exceed what was seen, the rest is not drawn (Besag & Clifford 1991, "Sequential Monte Carlo p-values"). If a share
w of the window comes from elsewhere, the discrepancy is w times that between the two places. Caveat: one width sees
differences near its own scale; a new topic as broad as the usual traffic needs more rows.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.core.statistics.two_sample import Difference

Vectors = NDArray[np.float32]

PERMUTATIONS = 999
BATCH = 250
CLEARLY_CHANCE = 0.05  # p-value beyond which nobody asks how large it is exactly
WIDTH = 0.5  # of the median distance
WIDTH_ROWS = 500  # of which the median distance is taken


def discrepancy(
    reference: Vectors, window: Vectors, rng: np.random.Generator, permutations: int = PERMUTATIONS
) -> Difference:
    """Return the discrepancy of two sets of vectors, one row a vector, and its p-value by permutation.

    No p-value is less than 1 / (permutations + 1). Memory and time grow with the square of the number of rows: 1,000
    against 1,000 take some tenths of a second.
    """
    rows = np.concatenate([reference, window]).astype(np.float32)
    kernel = gaussian_kernel(rows, rng)
    is_reference = np.zeros((len(rows), 1), dtype=np.float32)
    is_reference[: len(reference)] = 1
    seen = float(_squared(kernel, is_reference)[0])
    return Difference(max(seen, 0.0) ** 0.5, _p_value(kernel, len(reference), seen, permutations, rng))


def gaussian_kernel(rows: Vectors, rng: np.random.Generator) -> Vectors:
    """Return exp(-d * d / (2 * width * width)) for each pair of rows at distance d, and 0 for a row with itself."""
    some = rows if len(rows) <= WIDTH_ROWS else rows[rng.choice(len(rows), WIDTH_ROWS, replace=False)]
    apart = _squared_distances(some)[np.triu_indices(len(some), 1)]
    width_squared = WIDTH**2 * (float(np.median(apart)) or float(apart.mean()) or 1.0)
    kernel: Vectors = np.exp(_squared_distances(rows) * np.float32(-0.5 / width_squared))
    np.fill_diagonal(kernel, 0)
    return kernel


def _squared_distances(rows: Vectors) -> Vectors:
    squares = np.einsum("ij,ij->i", rows, rows)
    found: Vectors = np.maximum(squares[:, None] + squares[None, :] - 2 * (rows @ rows.T), 0)
    return found


def _squared(kernel: Vectors, is_reference: Vectors) -> NDArray[np.float64]:
    """Return the unbiased squared discrepancy for each column of labels, 1 for a row of the reference."""
    inside = np.einsum("ij,ij->j", is_reference, kernel @ is_reference).astype(np.float64)
    sums = kernel.sum(axis=1, dtype=np.float64)
    touching = sums @ is_reference
    n = is_reference[:, 0].sum(dtype=np.float64)
    m = len(kernel) - n
    outside = sums.sum() - 2 * touching + inside
    squared: NDArray[np.float64] = inside / (n * (n - 1)) + outside / (m * (m - 1)) - 2 * (touching - inside) / (n * m)
    return squared


def _p_value(kernel: Vectors, num_reference: int, seen: float, permutations: int, rng: np.random.Generator) -> float:
    drawn = exceeding = 0
    enough = CLEARLY_CHANCE * (permutations + 1)
    while drawn < permutations and exceeding < enough:
        size = min(BATCH, permutations - drawn)
        order = rng.random((size, len(kernel)), dtype=np.float32).argpartition(num_reference, axis=1)
        labels = np.zeros((size, len(kernel)), dtype=np.float32)
        np.put_along_axis(labels, order[:, :num_reference], 1, axis=1)
        exceeding += int((_squared(kernel, np.ascontiguousarray(labels.T)) >= seen).sum())
        drawn += size
    return (exceeding + 1) / (drawn + 1)
