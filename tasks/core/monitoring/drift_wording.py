"""The sentences of a drift verdict: the change of a column, the result of a test, the headline."""

from collections import Counter

from tasks.core.monitoring.drift_verdict import ColumnFinding, ColumnTest, Outcome, State
from tasks.core.wording import label, points


def sentence_of(test: ColumnTest, state: State) -> str:
    name = label(test.column)
    if test.difference is None:
        before, after = test.values
        return f"{name} was not compared: {before} values in the reference, {after} in the window{test.change}."
    verb = {"confirmed": "changed, and had before", "suspected": "changed"}.get(state, "did not change enough to count")
    chance = f"p = {test.difference.p:.2g}"
    return (
        f"{name} {verb}: {test.change} (effect {test.difference.effect:.3f}, counts from {test.floor:.3f}; {chance})."
    )


def headline_of(outcome: Outcome, findings: list[ColumnFinding], rows: tuple[int, int]) -> str:
    compared = f"{rows[1]} rows against {rows[0]} of the reference"
    if outcome == "NONE":
        return f"The traffic is as it was: {compared}."
    wanted = "confirmed" if outcome == "CONFIRMED" else "suspected"
    columns = ", ".join(dict.fromkeys(label(found.column).lower() for found in findings if found.state == wanted))
    verb = "has changed" if outcome == "CONFIRMED" else "may have changed"
    return f"The traffic {verb} in {columns}: {compared}."


def largest_change(reference: Counter[str], window: Counter[str]) -> str:
    before, after = reference.total(), window.total()
    shift = {name: window[name] / after - reference[name] / before for name in sorted(reference | window)}
    name = max(shift, key=lambda name: abs(shift[name]))
    shares = f"from {points(reference[name] / before)} to {points(window[name] / after)} % of the rows"
    return f"{name!r} went {shares}"


def median_change(before: float, after: float) -> str:
    return f"its median went from {before:.3g} to {after:.3g}"


def embedding_change(effect: float) -> str:
    return f"its discrepancy from the reference is {effect:.3f}"


def missing_change(before: float, after: float) -> str:
    return f"missing in {points(after)} % of the rows, before in {points(before)} %"


def other_dimensions(reference: int, window: int) -> str:
    return f", of {reference} and {window} dimensions: compare with what one embedder made"
