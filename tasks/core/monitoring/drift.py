"""Decides whether the traffic has drifted since the model was evaluated, from a window of records and a reference.

1. One row per key, sampled by seed, where the config names a key column: a user with a hundred requests counts once.
2. One test for the values of each column and one for its share of missing values; a missing value is never a zero.
3. A column is suspected when two things hold. Its test is significant after Holm's correction over all tests of the
   window, so that at most `false_alarms` of the windows of unchanged traffic are suspected. And its effect reaches the
   floor, because on a large window every difference is significant.
4. It is confirmed when it was also suspected in the `confirmations` windows before. Windows with too few rows are
   skipped.
A column that the last window suspected is tested without correction for the others: a false confirmation needs a false
suspicion first. Caveat: the reference must cover usual traffic, weekends included; the false-alarm rate holds for
windows from the same distribution.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from tasks.core.monitoring.drift_config import DriftConfig
from tasks.core.monitoring.drift_tests import column_tests
from tasks.core.monitoring.drift_verdict import Aspect, ColumnFinding, ColumnTest, DriftVerdict, Outcome, State
from tasks.core.monitoring.drift_wording import headline_of, sentence_of
from tasks.core.statistics.two_sample import Difference, holm

ASPECTS: tuple[Aspect, ...] = ("values", "missing")


def decide(
    reference: pl.DataFrame,
    window: pl.DataFrame,
    config: DriftConfig,
    history: Sequence[DriftVerdict] = (),
    column_references: Mapping[str, pl.DataFrame] | None = None,
) -> DriftVerdict:
    """Return the verdict on the window. `history`: verdicts on the windows before it, the latest last.

    `column_references`: the reference of each column that `reference` does not have.
    """
    before_rows, now = (_one_row_a_key(table, config) for table in (reference, window))
    others = {name: _one_row_a_key(table, config) for name, table in (column_references or {}).items()}
    rows = (before_rows.height, now.height)
    if min(rows) < config.min_rows:
        return _too_few(rows, config)
    tests = [
        test
        for name, column in config.columns.items()
        for test in column_tests(name, column, (others.get(name, before_rows), now), config)
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
        headline=headline_of(outcome, findings, rows),
        reasons=reasons + unmeasured,
        rows=rows,
        findings=findings,
    )


def _one_row_a_key(table: pl.DataFrame, config: DriftConfig) -> pl.DataFrame:
    """Return one row of each key, sampled by seed, and every row without a key."""
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
    """Return the tests that were suspected in all of the last `confirmations` windows; none where there are fewer."""
    decided = [verdict for verdict in history if verdict.outcome != "TOO_FEW_ROWS"]
    if len(decided) < config.confirmations:
        return set()
    recent = [verdict.changed for verdict in decided[len(decided) - config.confirmations :]]
    return set.intersection(*recent) if recent else {(name, aspect) for name in config.columns for aspect in ASPECTS}


def _suspected(
    tests: list[ColumnTest], config: DriftConfig, history: Sequence[DriftVerdict]
) -> set[tuple[str, Aspect]]:
    """Return the tests that are significant, corrected over all tests or over those that the last window suspected."""
    decided = [verdict for verdict in history if verdict.outcome != "TOO_FEW_ROWS"]
    suspected_last = decided[-1].changed if decided else set()
    measured = {_id(test): test.difference for test in tests if test.difference is not None}
    held = _held(measured, config.false_alarms) | _held(
        {test: found for test, found in measured.items() if test in suspected_last}, config.false_alarms
    )
    floors = {_id(test): test.floor for test in tests}
    return {test for test in held if measured[test].effect >= floors[test]}


def _held(measured: Mapping[tuple[str, Aspect], Difference], error: float) -> set[tuple[str, Aspect]]:
    names = {f"{column}\n{aspect}": (column, aspect) for column, aspect in measured}
    held = holm({name: measured[test].p for name, test in names.items()}, error)
    return {names[name] for name in held}


def _id(test: ColumnTest) -> tuple[str, Aspect]:
    return test.column, test.aspect


def _finding(test: ColumnTest, is_suspected: bool, was_before: bool) -> ColumnFinding:
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
        sentence=sentence_of(test, state),
    )
