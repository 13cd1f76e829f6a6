"""The real library: about six seconds, most of them its import."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from tasks.adapters.monitoring.evidently_report import PROJECT, keep_report

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)


def table(rows: int, **columns: list) -> pl.DataFrame:
    return pl.DataFrame({"answer_length": [*range(rows)], "quality": [True, False] * (rows // 2), **columns})


def test_windows_gather_in_one_project_with_their_verdicts_and_without_rows(tmp_path: Path) -> None:
    place = tmp_path / "evidently"
    latency = {"latency_s": pl.Series([None] * 40, dtype=pl.Float64)}
    keep_report(place, table(40, **latency), table(40, **latency), at=AT, name="m, window 1", tags=["NONE"])
    keep_report(place, pl.DataFrame(), table(60), at=AT, name="m, window 2", tags=["CONFIRMED"])
    from evidently.ui.workspace import Workspace

    workspace = Workspace(str(place))
    (project,) = workspace.list_projects()
    assert project.name == PROJECT
    runs = [workspace.get_run(project.id, run) for run in workspace.list_runs(project.id)]
    assert sorted(run.name for run in runs) == ["m, window 1", "m, window 2"]
    assert sorted(tag for run in runs for tag in run.tags) == ["CONFIRMED", "NONE"]
    assert len(project.dashboard.model().panels) == 3
    assert not [path for path in place.rglob("*") if path.suffix in (".parquet", ".csv")], "no rows are kept"
