"""The statistical tests of a column: one of its values, and one of its share of missing values.

Numbers are compared by their distributions, categories by their counts, embeddings by the maximum mean discrepancy with
permutations (`tasks/core/statistics`). A missing value is never a zero. `drift.py` decides which tests count.
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import polars as pl

from tasks.core.monitoring import drift_wording as wording
from tasks.core.monitoring.drift_config import Column, DriftConfig
from tasks.core.monitoring.drift_verdict import ColumnTest
from tasks.core.statistics.mmd import PERMUTATIONS, Vectors, discrepancy
from tasks.core.statistics.two_sample import Floats, categories, numbers


def column_tests(name: str, column: Column, sides: Sequence[pl.DataFrame], config: DriftConfig) -> list[ColumnTest]:
    """Return the test of a column's values, and that of its missing ones where there are any."""
    compare = {"number": _number_test, "category": _category_test, "embedding": _embedding_test}[column.kind]
    columns = [side[name] if name in side.columns else pl.Series(name, [None] * side.height) for side in sides]
    test, missing = compare(name, column, columns, config), [0, 0]
    if not all(series.len() for series in columns):
        return [test]
    for side, (series, count) in enumerate(zip(columns, test.values, strict=True)):
        missing[side] = series.len() - count
    if all(missing[side] == columns[side].len() for side in (0, 1)):
        return [test]  # measured on neither side, so nothing went missing
    return [test, *([_missing_test(name, column, columns, missing, config)] if any(missing) else [])]


def _number_test(name: str, column: Column, columns: Sequence[pl.Series], config: DriftConfig) -> ColumnTest:
    reference, window = (_finite(series) for series in columns)
    counts = (reference.size, window.size)
    if min(counts) < config.min_rows:
        return _unmeasured(name, column, counts)
    middles = [float(np.median(values)) for values in (reference, window)]
    change = wording.median_change(*middles)
    return ColumnTest(name, "values", "number", column.min_effect, counts, change, numbers(reference, window))


def _category_test(name: str, column: Column, columns: Sequence[pl.Series], config: DriftConfig) -> ColumnTest:
    reference, window = (_counts(series) for series in columns)
    counts = (reference.total(), window.total())
    if min(counts) < config.min_rows:
        return _unmeasured(name, column, counts)
    difference = categories(reference, window)
    return ColumnTest(
        name, "values", "category", column.min_effect, counts, wording.largest_change(reference, window), difference
    )


def _embedding_test(name: str, column: Column, columns: Sequence[pl.Series], config: DriftConfig) -> ColumnTest:
    reference, window = (vectors(series) for series in columns)
    counts = (len(reference), len(window))
    if min(counts) < config.min_rows:
        return _unmeasured(name, column, counts)
    if reference.shape[1] != window.shape[1]:
        reason = wording.other_dimensions(reference.shape[1], window.shape[1])
        return _unmeasured(name, column, counts, reason)
    rng = np.random.default_rng(config.seed)
    some = [_sample(rows, config.max_vectors, rng) for rows in (reference, window)]
    difference = discrepancy(some[0], some[1], rng, _permutations(config))
    change = wording.embedding_change(difference.effect)
    return ColumnTest(name, "values", "embedding", column.min_effect, counts, change, difference)


def _permutations(config: DriftConfig) -> int:
    """Return the number of permutations whose smallest possible p-value passes Holm's correction over all tests."""
    return max(PERMUTATIONS, math.ceil(1.25 * 2 * len(config.columns) / config.false_alarms) - 1)


def _missing_test(
    name: str, column: Column, columns: Sequence[pl.Series], missing: Sequence[int], config: DriftConfig
) -> ColumnTest:
    sizes = (columns[0].len(), columns[1].len())
    present = [{"missing": gone, "present": size - gone} for gone, size in zip(missing, sizes, strict=True)]
    shares = [gone / size for gone, size in zip(missing, sizes, strict=True)]
    change = wording.missing_change(*shares)
    return ColumnTest(name, "missing", column.kind, config.missing_floor, sizes, change, categories(*present))


def _unmeasured(name: str, column: Column, counts: tuple[int, int], reason: str = "") -> ColumnTest:
    return ColumnTest(name, "values", column.kind, column.min_effect, counts, reason, None)


def _finite(series: pl.Series) -> Floats:
    """Return the numbers of a column; null, NaN, infinite and non-numeric values are missing."""
    if not (series.dtype.is_numeric() or series.dtype == pl.Boolean):
        return np.empty(0)
    values: Floats = series.cast(pl.Float64).to_numpy()
    return np.extract(np.isfinite(values), values)


def _counts(series: pl.Series) -> Counter[str]:
    """Return how often each category occurs; null and NaN are missing."""
    if series.dtype.is_float():
        series = series.fill_nan(None)
    if series.dtype.is_nested() or series.dtype == pl.Null:
        return Counter()
    return Counter(series.drop_nulls().cast(pl.String).to_list())


def vectors(series: pl.Series) -> Vectors:
    """Return the vectors of a column, one row each, without those that are missing or not finite."""
    present = series.drop_nulls()
    if not present.len() or not present.dtype.is_nested():
        return np.empty((0, 0), dtype=np.float32)
    lists = present.cast(pl.List(pl.Float32))
    if lists.list.len().n_unique() != 1:
        return np.empty((0, 0), dtype=np.float32)
    rows: Vectors = lists.explode().to_numpy().reshape(lists.len(), -1)
    is_whole = np.asarray(np.isfinite(rows).all(axis=1))
    return rows if is_whole.all() else rows[is_whole]


def _sample(rows: Vectors, max_rows: int, rng: np.random.Generator) -> Vectors:
    return rows if len(rows) <= max_rows else rows[rng.choice(len(rows), max_rows, replace=False)]
