"""Adds a report of each window to Evidently's workspace, for its UI (evidently).

Evidently describes each column and draws the history. It decides nothing: its default tests raise an alarm in a quarter
of unchanged windows. It gets numbers only, no text and no vector, so its workspace holds nothing of a request; yes and
no are 1 and 0, so that their mean is a share. Telemetry is off (settings.go_offline sets DO_NOT_TRACK).
Caveat: a column without a value on one side is left out of that window's report.
"""

import os
import warnings
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from tasks.core.wording import label

PROJECT = "Ratchet: served answers"


def keep_report(
    workspace: Path, reference: pl.DataFrame, window: pl.DataFrame, *, at: datetime, name: str, tags: Sequence[str]
) -> None:
    """Add a window to the workspace; tables hold the columns to describe. Takes some seconds, most of them to import.

    Where `reference` has no rows, the report describes the window alone.
    """
    os.environ.setdefault("DO_NOT_TRACK", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # evidently warns at import and at empty bins
        from evidently import Report
        from evidently.presets import ValueStats
        from evidently.ui.workspace import Workspace

        sides = [table for table in (window, reference) if table.height]
        columns = [column for column in window.columns if all(side[column].count() for side in sides)]
        if not columns:
            return
        current, *before = (_numbers(side, columns) for side in sides)
        run = Report([ValueStats(column) for column in columns]).run(
            current, before[0] if before else None, timestamp=at, name=name, tags=list(tags)
        )
        workspace.mkdir(parents=True, exist_ok=True)
        place = Workspace.create(str(workspace))
        place.add_run(_project(place, window.columns).id, run, include_data=False)


def _numbers(table: pl.DataFrame, columns: Sequence[str]) -> Any:
    return table.select(pl.col(columns).cast(pl.Float64)).to_pandas()


def _project(place: Any, columns: Sequence[str]) -> Any:
    """Return the project, made with a line of means for each column where there is none yet."""
    from evidently.sdk.models import PanelMetric
    from evidently.sdk.panels import line_plot_panel

    for project in place.list_projects():
        if project.name == PROJECT:
            return project
    project = place.create_project(
        PROJECT, "Each window of served answers beside its reference; the verdicts are Ratchet's."
    )
    for column in columns:
        values = [PanelMetric(metric="MeanValue", metric_labels={"column": column}, legend="mean of the window")]
        project.dashboard.add_panel(line_plot_panel(label(column), values, size="half"))
    return project
