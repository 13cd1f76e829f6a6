"""Paired comparison of two models: their measurements on the same items, one metric at a time.

Takes a table with a row an item and model, gives paired values and a `Comparison`. Every metric lies in [0, 1], so what
was not measured is bounded rather than skipped: against a promotion it counts as the worst possible outcome, against a
rejection as the best (Manski 1990, "Nonparametric Bounds on Treatment Effects"). Hence no missing, null or infinite
value can make a candidate look better. What is no number in [0, 1], or whose row is not `ok`, was not measured.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict

from tasks.core.statistics.bootstrap import Draws, Floats, Integers, interval

ITEM, MODEL, STATUS, CLUSTER, ANSWERABLE = "item_id", "model", "status", "cluster", "answerable"
OK = "ok"
CHAMPION = "_champion"  # suffix of the second arm's columns
DIGITS = 6

Better = Literal["higher", "lower"]
Subset = Literal["all", "answerable"]


@dataclass(frozen=True)
class Arms:
    """The two models to compare, the items both were asked (None: all the table has), and how many (None: unknown)."""

    candidate: str
    champion: str
    items: Collection[str] | None = None
    num_items: int | None = None


@dataclass(frozen=True)
class Pairs:
    """One row an item; the champion's columns end in `_champion`. Empty where a problem forbids comparing."""

    frame: pl.DataFrame
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Metric:
    """Which column to compare, which way is better, on which items."""

    name: str
    column: str
    better: Better
    among: Subset = "all"


class Comparison(BaseModel):
    """What was found for one metric. A gain above zero means a better candidate, whichever way the metric points."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    better: Better
    among: Subset
    items: int
    clusters: int
    candidate: float | None
    champion: float | None
    gain: float | None
    """Mean gain over the items measured for both."""
    at_least: float | None
    """Mean gain if every unmeasured value were the worst for the candidate."""
    low: float | None
    high: float | None
    error: float | None
    level: float
    """Of the two-sided interval from `low` to `high`, which both allow for what was not measured."""
    unmeasured: tuple[int, int]
    """How many of the items have no value: candidate, champion."""
    gained: int
    """Items on which the candidate is better."""
    lost: int

    @property
    def coverage(self) -> float:
        """Share of items with a value, of the arm that has fewer."""
        return 1 - max(self.unmeasured) / self.items if self.items else 0.0


def pair(table: pl.DataFrame, arms: Arms, *, clustered: bool) -> Pairs:
    """Return the items of both arms side by side, sorted by id, or the reasons why they cannot be compared.

    `clustered`: the table has `cluster` and `answerable`; otherwise each item is its own cluster.
    """
    problem = _unusable(table, clustered)
    if problem:
        return Pairs(pl.DataFrame(), (problem,))
    left, right = (table.filter(pl.col(MODEL) == model) for model in (arms.candidate, arms.champion))
    planned = set(arms.items if arms.items is not None else table[ITEM].drop_nulls())
    problems = [*_arm_problems(left, arms.candidate, planned), *_arm_problems(right, arms.champion, planned)]
    if arms.num_items is not None and arms.num_items != len(planned):
        problems.append(f"There are rows of {len(planned)} items; {arms.num_items} were asked.")
    if problems:
        return Pairs(pl.DataFrame(), tuple(problems))
    frame = left.join(right, on=ITEM, suffix=CHAMPION, how="inner").sort(ITEM)
    if clustered:
        problems = [
            f"The {column} of {count} items differs between the two models or is missing."
            for column in (CLUSTER, ANSWERABLE)
            if (count := frame.filter(~pl.col(column).eq(pl.col(column + CHAMPION)).fill_null(False)).height)
        ]
    return Pairs(frame if not problems else pl.DataFrame(), tuple(problems))


def compare(pairs: Pairs, metric: Metric, level: float, draws: Draws) -> Comparison:
    """Return what the pairs say about `metric`; all None where nothing was measured."""
    frame = _subset(pairs.frame, metric.among)
    if not frame.height:
        return _nothing(metric, level)
    candidate, champion = (_values(frame, metric.column, suffix) for suffix in ("", CHAMPION))
    clusters = cluster_codes(frame)
    sign = 1.0 if metric.better == "higher" else -1.0
    worst_value, best_value = (0.0, 1.0) if metric.better == "higher" else (1.0, 0.0)
    worst = sign * (_filled(candidate, worst_value) - _filled(champion, best_value))
    best = sign * (_filled(candidate, best_value) - _filled(champion, worst_value))
    difference = sign * (candidate - champion)
    measured = difference[np.isfinite(difference)]
    if not measured.size:
        return _nothing(metric, level, items=frame.height, missing=(_missing(candidate), _missing(champion)))
    below = interval(worst, clusters, level, draws)
    above = below if measured.size == difference.size else interval(best, clusters, level, draws)
    return Comparison(
        metric=metric.name,
        better=metric.better,
        among=metric.among,
        items=frame.height,
        clusters=int(clusters.max()) + 1,
        candidate=_rounded(np.nanmean(candidate)),
        champion=_rounded(np.nanmean(champion)),
        gain=_rounded(measured.mean()),
        at_least=_rounded(below.mean),
        low=_rounded(below.low),
        high=_rounded(above.high),
        error=_rounded(max(below.error, above.error)),
        level=level,
        unmeasured=(_missing(candidate), _missing(champion)),
        gained=int((measured > 0).sum()),
        lost=int((measured < 0).sum()),
    )


def candidate_bounds(pairs: Pairs, metric: Metric, level: float, draws: Draws) -> tuple[float, float]:
    """Return the least mean that the candidate can have had, and the upper bound of the greatest (higher is better)."""
    frame = _subset(pairs.frame, metric.among)
    values = _values(frame, metric.column, "")
    best = interval(_filled(values, 1.0), cluster_codes(frame), level, draws)
    return _rounded(_filled(values, 0.0).mean()), _rounded(best.high)


def cluster_codes(frame: pl.DataFrame) -> Integers:
    """Return the cluster of each row as 0, 1, 2 ...; without such a column each row is one."""
    names = frame[CLUSTER if CLUSTER in frame.columns else ITEM].to_numpy()
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def _unusable(table: pl.DataFrame, clustered: bool) -> str | None:
    texts = [ITEM, MODEL, STATUS, *([CLUSTER] if clustered else [])]
    missing = [name for name in [*texts, *([ANSWERABLE] if clustered else [])] if name not in table.columns]
    if missing:
        return f"The measurements have no column {', '.join(missing)}."
    if not table.height:
        return "The table of measurements is empty."
    wrong = [name for name in texts if table[name].dtype != pl.String]
    if clustered and table[ANSWERABLE].dtype != pl.Boolean:
        wrong.append(ANSWERABLE)
    return f"Column {', '.join(wrong)} of the measurements has the wrong type." if wrong else None


def _arm_problems(rows: pl.DataFrame, name: str, planned: set[str]) -> list[str]:
    if not rows.height:
        return [f"There is no measurement of the {name}."]
    ids = rows[ITEM]
    asked = set(ids.drop_nulls())
    problems = []
    if ids.null_count() or len(asked) < rows.height:
        problems.append(f"The {name} has {rows.height - len(asked)} rows without an item of their own.")
    if planned - asked:
        problems.append(f"The {name} has no row for {len(planned - asked)} of {len(planned)} items.")
    if asked - planned:
        problems.append(f"The {name} has rows for {len(asked - planned)} items that were not planned.")
    return problems


def _subset(frame: pl.DataFrame, among: Subset) -> pl.DataFrame:
    if among == "all" or not frame.height:
        return frame
    return frame.filter(pl.col(ANSWERABLE)) if ANSWERABLE in frame.columns else frame.clear()


def _values(frame: pl.DataFrame, column: str, suffix: str) -> Floats:
    """Return the column of one arm, NaN where there is no number in [0, 1] or the row is not ok."""
    column += suffix
    if column not in frame.columns or not (frame[column].dtype.is_numeric() or frame[column].dtype == pl.Boolean):
        return np.full(frame.height, np.nan)
    values = frame[column].cast(pl.Float64).to_numpy()  # null becomes NaN
    is_ok = frame[STATUS + suffix].to_numpy() == OK
    return np.where(is_ok & (values >= 0) & (values <= 1), values, np.nan)


def _filled(values: Floats, value: float) -> Floats:
    return np.where(np.isnan(values), value, values)


def _missing(values: Floats) -> int:
    return int(np.isnan(values).sum())


def _rounded(value: float | np.floating) -> float:
    return round(float(value), DIGITS) + 0.0  # no negative zero


def _nothing(metric: Metric, level: float, items: int = 0, missing: tuple[int, int] = (0, 0)) -> Comparison:
    nothing = dict.fromkeys(("candidate", "champion", "gain", "at_least", "low", "high", "error"))
    return Comparison(
        metric=metric.name,
        better=metric.better,
        among=metric.among,
        items=items,
        clusters=0,
        level=level,
        unmeasured=missing,
        gained=0,
        lost=0,
        **nothing,
    )
