"""Renders the drift page: verdict, recommendations and evidence, as one HTML file (jinja2, inline SVG).

The page loads nothing from elsewhere. Its texts come from the records, which are redacted.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from markupsafe import Markup

from tasks.adapters.html_page import render_page
from tasks.adapters.monitoring.drift_charts import categories, numbers, question_map
from tasks.core.digests import short
from tasks.core.monitoring.drift_verdict import ColumnFinding
from tasks.core.monitoring.window_verdict import DriftedSegment, WindowVerdict
from tasks.core.wording import label, points

TEMPLATE = Path(__file__).with_name("drift_page.html.j2")
MAX_TEXT = 300
EMBEDDING = "question_embedding"
COLOURS = {
    "NONE": {"strong": "#1b7f4d", "tint": "#eef8f2"},
    "SUSPECTED": {"strong": "#8a5a00", "tint": "#fff8e9"},
    "CONFIRMED": {"strong": "#b3261e", "tint": "#fdf1f0"},
    "TOO_FEW_ROWS": {"strong": "#475063", "tint": "#eef1f5"},
}
ANNOUNCEMENTS = {
    "NONE": "The traffic is as it was",
    "SUSPECTED": "The traffic may have changed",
    "CONFIRMED": "The traffic has changed",
    "TOO_FEW_ROWS": "Not decided: too little traffic",
}
COMPARISONS = {
    "evaluation": "Compared with the questions and answers on which this version was measured; latency and cost with "
    "its first served answers.",
    "served": "Compared with the first answers that this version served.",
    "nothing": "There is nothing to compare with yet.",
}
ORDER = ("steady", "unmeasured", "suspected", "confirmed")


@dataclass(frozen=True)
class DriftTables:
    """The tables behind a verdict. `column_references`: references of columns that `reference` does not have."""

    reference: pl.DataFrame
    window: pl.DataFrame
    column_references: Mapping[str, pl.DataFrame]
    examples: int


def render(verdict: WindowVerdict, tables: DriftTables) -> str:
    """Return the page as HTML."""
    drifted = [row for segment in verdict.parts for row in segment.cluster.rows]
    is_drifted = verdict.drift.outcome in ("SUSPECTED", "CONFIRMED")
    return render_page(
        TEMPLATE,
        verdict=verdict,
        model=short(verdict.model),
        announcement=ANNOUNCEMENTS[verdict.drift.outcome],
        colours=COLOURS[verdict.drift.outcome],
        comparison=COMPARISONS[verdict.compared_with],
        nothing="No part of the window stands out." if is_drifted else "Nothing.",
        parts=[_segment(segment, tables) for segment in verdict.parts],
        rows=list(_rows(verdict, tables)),
        map=question_map(tables.reference[EMBEDDING], tables.window[EMBEDDING], drifted),
        points=points,
    )


def _segment(segment: DriftedSegment, tables: DriftTables) -> dict[str, object]:
    rows = tables.window[segment.cluster.rows].select("question", "answer")
    some = rows.unique("question", keep="first", maintain_order=True).head(tables.examples)
    examples = [{"question": _cut(question), "answer": _cut(answer)} for question, answer in some.iter_rows()]
    return {"cluster": segment.cluster, "recommendation": segment.recommendation, "examples": examples}


def _rows(verdict: WindowVerdict, tables: DriftTables) -> Iterator[dict[str, object]]:
    """Yield one row per column: the sentences of its tests, its chart, its worst state."""
    by_column: dict[str, list[ColumnFinding]] = {}
    for found in verdict.drift.findings:
        by_column.setdefault(found.column, []).append(found)
    for name, findings in by_column.items():
        yield {
            "label": label(name),
            "sentences": [finding.sentence for finding in findings],
            "state": max((finding.state for finding in findings), key=ORDER.index),
            "chart": _chart(name, findings[0].kind, tables),
        }


def _chart(name: str, kind: str, tables: DriftTables) -> Markup:
    if kind == "embedding":
        return Markup("<small>See the map below.</small>")
    reference = tables.column_references.get(name, tables.reference)
    if name not in reference.columns or name not in tables.window.columns:
        return Markup("")
    draw = numbers if kind == "number" else categories
    return draw(reference[name], tables.window[name])


def _cut(text: str) -> str:
    text = " ".join(text.split()) or "(nothing)"
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT].rsplit(" ", 1)[0] + " …"
