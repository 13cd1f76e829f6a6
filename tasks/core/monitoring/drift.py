"""Has the traffic changed since the model was measured? Decided from a window of records and a reference.

1. One row a key, drawn by seed, where the config names a key column: a user's hundred requests are one opinion.
2. One test for the values of each column and one for its share of missing values, which are never zeros.
3. A column is suspected when its test holds with Holm's correction over all tests of the window, so that at most
   `false_alarms` of all windows of unchanged traffic are suspected at all, and the effect reaches its floor: on a
   large window everything is significant.
4. It is confirmed when it held in the `confirmations` windows before this one too. Windows with too few rows decide
   nothing and interrupt nothing.
A column suspected before needs no correction for those that were not: the second look tests what the first one named,
and a false confirmation needs a false suspicion first. Caveat: the reference must hold what is usual, weekends
included; the promise is about windows drawn from the same traffic.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from tasks.core.stage import StageConfig
from tasks.core.statistics.mmd import PERMUTATIONS, Vectors, discrepancy
from tasks.core.statistics.two_sample import Difference, Floats, categories, holm, numbers
from tasks.core.wording import label, points

Kind = Literal["number", "category", "embedding"]
Aspect = Literal["values", "missing"]
Outcome = Literal["NONE", "SUSPECTED", "CONFIRMED", "TOO_FEW_ROWS"]
State = Literal["steady", "suspected", "confirmed", "unmeasured"]

# Eight points of the cumulated shares; three points of the rows; and half of what 10 % of the rows from a new topic do,
# as measured by tests/bench/drift.py.
FLOORS: dict[Kind, float] = {"number": 0.08, "category": 0.03, "embedding": 0.015}
MISSING_FLOOR = 0.05

COLUMNS: dict[str, Kind] = {
    "question_embedding": "embedding",
    "question_length": "number",
    "retrieval_score": "number",
    "answer_length": "number",
    "abstained": "category",
    "ungrounded": "category",
    "quality": "category",
    "latency_s": "number",
    "cost": "number",
}


class Column(StageConfig):
    """How a column of the records is compared."""

    kind: Kind
    floor: float | None = Field(default=None, ge=0, le=1)
    """Least effect that counts; None: the usual one of its kind (see FLOORS)."""

    @property
    def least_effect(self) -> float:
        return FLOORS[self.kind] if self.floor is None else self.floor


class DriftConfig(StageConfig):
    """What is watched, and how often an alarm may be false."""

    columns: dict[str, Column] = Field(
        default_factory=lambda: {name: Column(kind=kind) for name, kind in COLUMNS.items()}, min_length=1
    )
    """Columns of the records, by name."""
    key: str | None = None
    """Column with who asked; one row of each counts. None: every row counts."""
    false_alarms: float = Field(default=0.02, gt=0, lt=0.5)
    """Share of windows of unchanged traffic that may be suspected, over all columns together."""
    confirmations: int = Field(default=1, ge=0)
    """Windows in a row, before this one, in which a column must have been suspected to be confirmed."""
    min_rows: int = Field(default=200, ge=20)
    """Fewest rows of the window, and of the reference, to decide from; and fewest values of a column."""
    max_vectors: int = Field(default=1000, ge=100)
    """Most rows of either side that are compared by embedding; time grows with their square."""
    missing_floor: float = Field(default=MISSING_FLOOR, ge=0, le=1)
    """Least change in a column's share of missing values that counts."""
    seed: int = 0
    """Seed of the drawn rows and permutations."""


class ColumnFinding(BaseModel):
    """What one test said of one column."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    aspect: Aspect
    kind: Kind
    state: State
    effect: float | None
    floor: float
    p: float | None
    values: tuple[int, int]
    """How many were compared: reference, window."""
    sentence: str


class DriftVerdict(BaseModel):
    """What a window says, on its own and after the windows before it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    outcome: Outcome
    headline: str
    reasons: list[str]
    """The tests that led to the outcome, in plain words with their numbers."""
    rows: tuple[int, int]
    """Rows that counted: reference, window."""
    findings: list[ColumnFinding]

    @property
    def changed(self) -> set[tuple[str, Aspect]]:
        """Return the tests that this window, or it and those before, found changed."""
        return {(found.column, found.aspect) for found in self.findings if found.state in ("suspected", "confirmed")}


@dataclass(frozen=True)
class _Test:
    """A column's comparison before it is held against those of the other columns; None: it could not be made."""

    column: str
    aspect: Aspect
    kind: Kind
    floor: float
    values: tuple[int, int]
    change: str
    difference: Difference | None


def decide(
    reference: pl.DataFrame,
    window: pl.DataFrame,
    config: DriftConfig,
    history: Sequence[DriftVerdict] = (),
    apart: Mapping[str, pl.DataFrame] | None = None,
) -> DriftVerdict:
    """Return the verdict on the window. `history`: verdicts on the windows before it, the latest last.

    `apart`: for a column that `reference` cannot know, the rows that it is compared with.
    """
    before_rows, now = (_one_row_a_key(table, config) for table in (reference, window))
    others = {name: _one_row_a_key(table, config) for name, table in (apart or {}).items()}
    rows = (before_rows.height, now.height)
    if min(rows) < config.min_rows:
        return _too_few(rows, config)
    tests = [
        test
        for name, column in config.columns.items()
        for test in _tests(name, column, (others.get(name, before_rows), now), config)
    ]
    before = _changed_before(history, config)
    suspected = _suspected(tests, config, history)
    findings = [_finding(test, _id(test) in suspected, _id(test) in before) for test in tests]
    states = {found.state for found in findings}
    outcome: Outcome = "CONFIRMED" if "confirmed" in states else "SUSPECTED" if "suspected" in states else "NONE"
    reasons = [found.sentence for found in findings if found.state in ("confirmed", "suspected")]
    unmeasured = [found.sentence for found in findings if found.state == "unmeasured"]
    return DriftVerdict(
        outcome=outcome,
        headline=_headline(outcome, findings, rows),
        reasons=reasons + unmeasured,
        rows=rows,
        findings=findings,
    )


def _one_row_a_key(table: pl.DataFrame, config: DriftConfig) -> pl.DataFrame:
    """Return one row of each key, drawn by seed; rows without a key each count for themselves."""
    if config.key is None or config.key not in table.columns:
        return table
    shuffled = table.sample(fraction=1.0, shuffle=True, seed=config.seed)
    is_known = pl.col(config.key).is_not_null()
    keyed = shuffled.filter(is_known).unique(config.key, keep="first", maintain_order=True)
    return pl.concat([keyed, shuffled.filter(~is_known)])


def _too_few(rows: tuple[int, int], config: DriftConfig) -> DriftVerdict:
    side, count = ("window", rows[1]) if rows[1] < config.min_rows else ("reference", rows[0])
    headline = f"Not enough rows to decide: the {side} has {count}, at least {config.min_rows} are needed."
    return DriftVerdict(outcome="TOO_FEW_ROWS", headline=headline, reasons=[headline], rows=rows, findings=[])


def _changed_before(history: Sequence[DriftVerdict], config: DriftConfig) -> set[tuple[str, Aspect]]:
    """Return the tests that were suspected in each of the windows that must confirm; none where there are too few."""
    decided = [verdict for verdict in history if verdict.outcome != "TOO_FEW_ROWS"]
    if len(decided) < config.confirmations:
        return set()
    recent = [verdict.changed for verdict in decided[len(decided) - config.confirmations :]]
    return set.intersection(*recent) if recent else {(name, aspect) for name in config.columns for aspect in _ASPECTS}


_ASPECTS: tuple[Aspect, ...] = ("values", "missing")


def _suspected(tests: list[_Test], config: DriftConfig, history: Sequence[DriftVerdict]) -> set[tuple[str, Aspect]]:
    """Return the tests that hold: against all others, or, for those that the last window named, against these alone."""
    decided = [verdict for verdict in history if verdict.outcome != "TOO_FEW_ROWS"]
    named = decided[-1].changed if decided else set()
    measured = {_id(test): test.difference for test in tests if test.difference is not None}
    held = _held(measured, config.false_alarms) | _held(
        {test: found for test, found in measured.items() if test in named}, config.false_alarms
    )
    floors = {_id(test): test.floor for test in tests}
    return {test for test in held if measured[test].effect >= floors[test]}


def _held(measured: Mapping[tuple[str, Aspect], Difference], error: float) -> set[tuple[str, Aspect]]:
    names = {f"{column}\n{aspect}": (column, aspect) for column, aspect in measured}
    held = holm({name: measured[test].p for name, test in names.items()}, error)
    return {names[name] for name in held}


def _id(test: _Test) -> tuple[str, Aspect]:
    return test.column, test.aspect


def _tests(name: str, column: Column, sides: Sequence[pl.DataFrame], config: DriftConfig) -> list[_Test]:
    """Return the test of a column's values, and that of its missing ones where there are any."""
    compare = {"number": _number_test, "category": _category_test, "embedding": _embedding_test}[column.kind]
    columns = [side[name] if name in side.columns else pl.Series(name, [None] * side.height) for side in sides]
    tests, missing = compare(name, column, columns, config), [0, 0]
    if not all(series.len() for series in columns):
        return [tests]
    for side, (series, count) in enumerate(zip(columns, tests.values, strict=True)):
        missing[side] = series.len() - count
    if all(missing[side] == columns[side].len() for side in (0, 1)):
        return [tests]  # measured on neither side: nothing went missing
    return [tests, *([_missing_test(name, column, columns, missing, config)] if any(missing) else [])]


def _number_test(name: str, column: Column, columns: Sequence[pl.Series], config: DriftConfig) -> _Test:
    reference, window = (_finite(series) for series in columns)
    counts = (reference.size, window.size)
    if min(counts) < config.min_rows:
        return _unmeasured(name, column, counts)
    middles = [float(np.median(values)) for values in (reference, window)]
    change = f"its median went from {middles[0]:.3g} to {middles[1]:.3g}"
    return _Test(name, "values", "number", column.least_effect, counts, change, numbers(reference, window))


def _category_test(name: str, column: Column, columns: Sequence[pl.Series], config: DriftConfig) -> _Test:
    reference, window = (_counts(series) for series in columns)
    counts = (reference.total(), window.total())
    if min(counts) < config.min_rows:
        return _unmeasured(name, column, counts)
    difference = categories(reference, window)
    return _Test(
        name, "values", "category", column.least_effect, counts, _largest_change(reference, window), difference
    )


def _embedding_test(name: str, column: Column, columns: Sequence[pl.Series], config: DriftConfig) -> _Test:
    reference, window = (vectors(series) for series in columns)
    counts = (len(reference), len(window))
    if min(counts) < config.min_rows:
        return _unmeasured(name, column, counts)
    if reference.shape[1] != window.shape[1]:
        reason = f", of {reference.shape[1]} and {window.shape[1]} dimensions: compare with what one embedder made"
        return _unmeasured(name, column, counts, reason)
    rng = np.random.default_rng(config.seed)
    some = [_some(rows, config.max_vectors, rng) for rows in (reference, window)]
    difference = discrepancy(some[0], some[1], rng, _permutations(config))
    change = f"its discrepancy from the reference is {difference.effect:.3f}"
    return _Test(name, "values", "embedding", column.least_effect, counts, change, difference)


def _permutations(config: DriftConfig) -> int:
    """Return how many it takes for the least p-value there is to hold among all tests there may be."""
    return max(PERMUTATIONS, math.ceil(1.25 * 2 * len(config.columns) / config.false_alarms) - 1)


def _missing_test(
    name: str, column: Column, columns: Sequence[pl.Series], missing: Sequence[int], config: DriftConfig
) -> _Test:
    sizes = (columns[0].len(), columns[1].len())
    present = [{"missing": gone, "present": size - gone} for gone, size in zip(missing, sizes, strict=True)]
    shares = [points(gone / size) for gone, size in zip(missing, sizes, strict=True)]
    change = f"missing in {shares[1]} % of the rows, before in {shares[0]} %"
    return _Test(name, "missing", column.kind, config.missing_floor, sizes, change, categories(*present))


def _unmeasured(name: str, column: Column, counts: tuple[int, int], reason: str = "") -> _Test:
    return _Test(name, "values", column.kind, column.least_effect, counts, reason, None)


def _finite(series: pl.Series) -> Floats:
    """Return the numbers of a column; null, NaN and infinite ones are missing, and so is what is no number."""
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
    """Return the vectors of a column, one row each, without those that are missing or hold what is no number."""
    present = series.drop_nulls()
    if not present.len() or not present.dtype.is_nested():
        return np.empty((0, 0), dtype=np.float32)
    lists = present.cast(pl.List(pl.Float32))
    if lists.list.len().n_unique() != 1:
        return np.empty((0, 0), dtype=np.float32)
    rows: Vectors = lists.explode().to_numpy().reshape(lists.len(), -1)
    is_whole = np.asarray(np.isfinite(rows).all(axis=1))
    return rows if is_whole.all() else rows[is_whole]


def _some(rows: Vectors, most: int, rng: np.random.Generator) -> Vectors:
    return rows if len(rows) <= most else rows[rng.choice(len(rows), most, replace=False)]


def _largest_change(reference: Counter[str], window: Counter[str]) -> str:
    before, after = reference.total(), window.total()
    shift = {name: window[name] / after - reference[name] / before for name in sorted(reference | window)}
    name = max(shift, key=lambda name: abs(shift[name]))
    shares = f"from {points(reference[name] / before)} to {points(window[name] / after)} % of the rows"
    return f"{name!r} went {shares}"


def _finding(test: _Test, is_suspected: bool, was_before: bool) -> ColumnFinding:
    state: State = "steady"
    if test.difference is None:
        state = "unmeasured"
    elif is_suspected:
        state = "confirmed" if was_before else "suspected"
    difference = test.difference
    return ColumnFinding(
        column=test.column,
        aspect=test.aspect,
        kind=test.kind,
        state=state,
        effect=None if difference is None else round(difference.effect, 6),
        floor=test.floor,
        p=None if difference is None else difference.p,
        values=test.values,
        sentence=_sentence(test, state),
    )


def _sentence(test: _Test, state: State) -> str:
    name = label(test.column)
    if test.difference is None:
        before, after = test.values
        return f"{name} was not compared: {before} values in the reference, {after} in the window{test.change}."
    verb = {"confirmed": "changed, and had before", "suspected": "changed"}.get(state, "did not change enough to count")
    chance = f"p = {test.difference.p:.2g}"
    return (
        f"{name} {verb}: {test.change} (effect {test.difference.effect:.3f}, counts from {test.floor:.3f}; {chance})."
    )


def _headline(outcome: Outcome, findings: list[ColumnFinding], rows: tuple[int, int]) -> str:
    compared = f"{rows[1]} rows against {rows[0]} of the reference"
    if outcome == "NONE":
        return f"The traffic is as it was: {compared}."
    wanted = "confirmed" if outcome == "CONFIRMED" else "suspected"
    columns = ", ".join(dict.fromkeys(label(found.column).lower() for found in findings if found.state == wanted))
    verb = "has changed" if outcome == "CONFIRMED" else "may have changed"
    return f"The traffic {verb} in {columns}: {compared}."
