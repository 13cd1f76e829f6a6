"""Counts of served answers that add up over time, and the shares and quantiles computed from them. Pure.

The dashboard counts each hour once and adds hours, so a week costs no more memory than a day. Durations are counted in
bins whose edges grow by 5 %, so a quantile is accurate to 5 %. A share of nothing is None, never zero: what was not
measured (an answer that was not screened, an engine that reports no cost) is in no denominator.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from functools import reduce
from typing import TypeVar

import numpy as np
import polars as pl

K = TypeVar("K", int, str)
SHORTEST_S, GROWTH, BINS = 0.001, 1.05, 300  # to 2,270 s

COLUMNS = [
    "arm", "model", "status", "abstained", "ungrounded", "prompt_tokens", "completion_tokens", "ttft_s", "seconds",
    "cpu_s", "cached", "shadow_of",
]  # fmt: skip
"""Columns of the records that `figures_of` needs."""


@dataclass(frozen=True)
class Durations:
    """A histogram of durations: (bin, count) pairs in order."""

    counts: tuple[tuple[int, int], ...] = ()

    def __add__(self, other: "Durations") -> "Durations":
        return Durations(_sum_counts(self.counts, other.counts))

    @property
    def total(self) -> int:
        return sum(count for _, count in self.counts)

    def quantile(self, share: float) -> float | None:
        """Return the seconds that `share` of the durations do not exceed; None where there are none."""
        rank, seen = share * self.total, 0
        for number, count in self.counts:
            seen += count
            if seen >= rank:
                return float(SHORTEST_S * GROWTH ** (number + 0.5))
        return None


def durations(seconds: pl.Series) -> Durations:
    """Return the durations of a column; null and NaN were not measured."""
    values = seconds.drop_nulls().drop_nans().to_numpy()
    if not len(values):
        return Durations()
    bins = np.floor(np.log(np.maximum(values, SHORTEST_S) / SHORTEST_S) / math.log(GROWTH)).astype(int)
    numbers, counts = np.unique(np.minimum(bins, BINS), return_counts=True)
    return Durations(tuple(zip(numbers.tolist(), counts.tolist(), strict=True)))


@dataclass(frozen=True)
class Figures:
    """Counts of answers that users saw; shadow answers are left out."""

    answers: int = 0
    """Complete ones."""
    failed: int = 0
    """Ended by an error or by the time limit."""
    cancelled: int = 0
    """The client closed the connection."""
    screened: int = 0
    ungrounded: int = 0
    """Of the screened ones: those with a term that neither context nor question holds."""
    judged: int = 0
    """Of which it is known whether they abstain."""
    abstained: int = 0
    cached: int = 0
    tokens: int = 0
    """Generated tokens; cached answers have none."""
    costed: int = 0
    """Computed answers whose processor time is known."""
    cpu_s: float = 0.0
    seconds: Durations = field(default_factory=Durations)
    first: Durations = field(default_factory=Durations)
    """To the first token."""
    by_arm: tuple[tuple[str, int], ...] = ()
    """Complete answers by "arm model"."""

    def __add__(self, other: "Figures") -> "Figures":
        added = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self) if f.name != "by_arm"}
        return Figures(**added, by_arm=_sum_counts(self.by_arm, other.by_arm))

    @property
    def failed_share(self) -> float | None:
        return _share(self.failed, self.answers + self.failed)

    @property
    def ungrounded_share(self) -> float | None:
        return _share(self.ungrounded, self.screened)

    @property
    def abstained_share(self) -> float | None:
        return _share(self.abstained, self.judged)

    @property
    def cpu_s_each(self) -> float | None:
        """Processor seconds of an answer."""
        return self.cpu_s / self.costed if self.costed else None


def figures_of(records: pl.DataFrame) -> Figures:
    """Return the figures of records with the columns `COLUMNS`."""
    shown = records.filter(pl.col("shadow_of").is_null())
    whole = shown.filter(pl.col("status") == "ok")
    computed = shown.filter(~pl.col("cached"))
    screened = whole["ungrounded"].drop_nulls()
    arms = whole.group_by("arm", "model").len().sort("arm", "model")
    return Figures(
        answers=whole.height,
        failed=shown.filter(pl.col("status").is_in(["error", "timeout"])).height,
        cancelled=shown.filter(pl.col("status") == "cancelled").height,
        screened=len(screened),
        ungrounded=int((screened.list.len() > 0).sum()),
        judged=whole["abstained"].drop_nulls().len(),
        abstained=int(whole["abstained"].sum() or 0),
        cached=whole.filter(pl.col("cached")).height,
        tokens=int(computed["completion_tokens"].sum() or 0),
        costed=computed["cpu_s"].drop_nulls().len(),
        cpu_s=float(computed["cpu_s"].sum() or 0.0),
        seconds=durations(whole["seconds"]),
        first=durations(whole["ttft_s"]),
        by_arm=tuple((f"{arm} {model}", count) for arm, model, count in arms.iter_rows()),
    )


def total(parts: Iterable[Figures]) -> Figures:
    """Return the sum."""
    return reduce(Figures.__add__, parts, Figures())


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _sum_counts(one: tuple[tuple[K, int], ...], other: tuple[tuple[K, int], ...]) -> tuple[tuple[K, int], ...]:
    counts = dict(one)
    for name, count in other:
        counts[name] = counts.get(name, 0) + count
    return tuple(sorted(counts.items()))
