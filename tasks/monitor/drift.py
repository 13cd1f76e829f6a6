"""Decides whether a window of served answers has drifted, finds the drifted questions, and recommends what to do.

Reads `collect`, the version's reference and index in the registry, and the verdicts on earlier windows. Writes
`drift`: `verdict.json`, `drifted.json` (answer ids, for `ratchet review --drifted`) and `report.html`. The verdict and
page of a window that follows the last one also go into the store, and its figures into Evidently's workspace below
`home`. Method: `core/monitoring/drift.py` decides, `core/monitoring/triage.py` explains. Latency and cost, which an
evaluation does not have, are compared with the version's first served answers and are unmeasured until there are
enough of them. It is no stage of dvc.yaml, for the reason that `collect` gives. Caveat: the questions of an
evaluation are made up; where real traffic differs from them from the first day, set `reference: served` to compare with
the first served answers instead.
"""

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl
from pydantic import Field

from tasks.adapters.storage.files import write_json, write_text
from tasks.core.digests import short
from tasks.core.monitoring.drift import decide
from tasks.core.monitoring.drift_config import DriftConfig
from tasks.core.monitoring.drift_tests import vectors
from tasks.core.monitoring.drift_verdict import DriftVerdict, Outcome
from tasks.core.monitoring.triage import Rows, triage
from tasks.core.monitoring.triage_config import TriageConfig
from tasks.core.monitoring.window_verdict import (
    ComparedWith,
    DriftedSegment,
    Offer,
    Severity,
    WindowVerdict,
    quality_of,
)
from tasks.core.release.lineage import BASE
from tasks.core.stage import Report
from tasks.core.statistics.two_sample import Floats
from tasks.settings import Settings

if TYPE_CHECKING:
    from tasks.adapters.monitoring.window_log import WindowLog
    from tasks.adapters.release.registry import Registry

logger = logging.getLogger(__name__)

WINDOW, FACTS = "window.parquet", "window.json"
VERDICT, DRIFTED, PAGE = "verdict.json", "drifted.json", "report.html"
WORKSPACE = "evidently"  # below `home`
EMBEDDING = "question_embedding"
SERVED_ONLY = ("latency_s", "cost")  # columns that an evaluation does not have


class Config(DriftConfig):
    reference: Literal["model", "served"] = "model"
    """What the window is compared with: the version's evaluation, or the first answers that it served."""
    offers: list[Offer] = Field(default_factory=list)
    """Documents that may be recommended where a new topic's terms are in them."""
    triage: TriageConfig = TriageConfig()
    """When a drifted part deserves work, and which."""
    examples: int = Field(default=3, ge=0)
    """Answers of a drifted part that the page shows."""
    keeps_history: bool = True
    """Whether Evidently's workspace gets a report of each window; it takes some seconds."""


class DriftReport(Report):
    outcome: Outcome
    severity: Severity
    model: str
    window: int | None
    """Number of the window in the version's history; None: a look that is not kept."""
    rows: int
    reference_rows: int
    compared_with: ComparedWith
    suspected: list[str]
    confirmed: list[str]
    unmeasured: list[str]
    parts: int
    drifted: int
    """Answers in drifted parts."""
    quality: float | None
    quality_before: float | None
    quality_fell: bool


@dataclass(frozen=True)
class Comparison:
    """A window and what it is compared with."""

    window: pl.DataFrame
    reference: pl.DataFrame
    compared_with: ComparedWith
    column_references: Mapping[str, pl.DataFrame]
    """The reference of each column that `reference` does not have."""


@dataclass(frozen=True)
class MonitoredVersion:
    """A model version and where its reference and its earlier verdicts are."""

    model: str
    registry: "Registry"
    log: "WindowLog"
    settings: Settings
    folder: Path
    """Temporary: for downloads."""


def run(config: Config, collect: Path, out: Path, *, settings: Settings) -> DriftReport:
    from tasks.adapters.monitoring.drift_page import DriftTables, render
    from tasks.adapters.monitoring.window_log import WindowLog
    from tasks.adapters.release.registry import open_registry
    from tasks.adapters.storage.json_files import read_object

    facts = read_object(collect / FACTS)
    registry, model = open_registry(settings), str(facts["model"])
    with tempfile.TemporaryDirectory(prefix="ratchet-drift-") as folder:
        version = MonitoredVersion(model, registry, WindowLog(registry.store, model), settings, Path(folder))
        compared = _comparison(config, version, collect / WINDOW)
        drift = decide(
            compared.reference, compared.window, config, _history(config, version, facts), compared.column_references
        )
        segments = _drifted_segments(config, version, compared, drift)
        verdict = WindowVerdict(
            model=model,
            since=facts["since"],
            until=facts["until"],
            number=_next_number(version, facts),
            compared_with=compared.compared_with,
            drift=drift,
            quality=quality_of(compared.reference, compared.window, drift),
            parts=segments,
            drifted=_answer_ids(segments, compared.window),
        )
        tables = DriftTables(compared.reference, compared.window, compared.column_references, config.examples)
        page = render(verdict, tables)
        report = _report(verdict)
        _write(out, verdict, page, report)
        if verdict.number is not None:
            _append_to_history(config, version, compared, verdict)
            version.log.keep_served(collect / WINDOW)
            # The verdict comes last: a run that was killed before it is simply repeated.
            version.log.append(verdict, page)
    return report


def _comparison(config: Config, version: MonitoredVersion, window_file: Path) -> Comparison:
    from tasks.adapters.monitoring.traffic_table import embedder_of, no_traffic, read_traffic

    window, embedder = read_traffic(window_file), embedder_of(window_file)
    path = version.folder / "served.parquet"
    served = read_traffic(path, embedder) if version.log.copy_served(path) else no_traffic()
    path = version.folder / "reference.parquet"
    if config.reference == "model" and version.model != BASE and version.registry.reference(version.model, path):
        served_columns = {name: served for name in SERVED_ONLY if name in config.columns}
        return Comparison(window, read_traffic(path, embedder), "evaluation", served_columns)
    return Comparison(window, served, "served" if served.height else "nothing", {})


def _history(config: Config, version: MonitoredVersion, facts: Mapping[str, object]) -> list[DriftVerdict]:
    """Return the verdicts on earlier windows, the latest last; none for a window of given times."""
    if not facts["is_next"]:
        return []
    return [verdict.drift for verdict in version.log.last(max(config.confirmations, 1))]


def _next_number(version: MonitoredVersion, facts: Mapping[str, object]) -> int | None:
    """Return the window's number in the history; None where it is not kept: too few rows, or given times."""
    if not (facts["is_next"] and facts["is_whole"]):
        return None
    return max(version.log.numbers(), default=0) + 1


def _drifted_segments(
    config: Config, version: MonitoredVersion, compared: Comparison, drift: DriftVerdict
) -> list[DriftedSegment]:
    """Return the drifted segments of a window that is at least suspected."""
    from tasks.adapters.monitoring.document_terms import indexed_terms

    rows = _triage_rows(compared.window)
    reference = vectors(compared.reference[EMBEDDING])
    has_all_vectors = len(rows.vectors) == compared.window.height and len(reference) > 0
    if drift.outcome not in ("SUSPECTED", "CONFIRMED") or not has_all_vectors:
        return []
    model = None if version.model == BASE else version.model
    known = indexed_terms(version.registry, model, version.settings.data / "index", version.folder)
    clusters = triage(reference, rows, known, config.triage)
    needs_documents = any(found.advice == "add_documents" for found in clusters)
    offered = _terms_on_offer(config, version.settings) if needs_documents else []
    return [DriftedSegment(cluster=found, offers=_offers_with(found.missing_terms, offered)) for found in clusters]


def _triage_rows(window: pl.DataFrame) -> Rows:
    return Rows(
        vectors=vectors(window[EMBEDDING]),
        texts=window["question"].to_list(),
        quality=_as_numbers(window["quality"]),
        retrieval=_as_numbers(window["retrieval_score"]),
        abstained=_as_numbers(window["abstained"]),
    )


def _as_numbers(series: pl.Series) -> Floats:
    """Return the values as numbers; what was not measured is NaN."""
    return np.asarray(series.cast(pl.Float64).fill_null(float("nan")).to_numpy(), dtype=np.float64)


def _terms_on_offer(config: Config, settings: Settings) -> list[tuple[Offer, set[str]]]:
    from tasks.adapters.monitoring.document_terms import offered_terms

    return [(offer, offered_terms(offer, settings.s3_endpoint_url)) for offer in config.offers]


def _offers_with(missing: list[str], offered: list[tuple[Offer, set[str]]]) -> list[Offer]:
    """Return the offers that hold at least half of the missing terms."""
    return [offer for offer, terms in offered if missing and 2 * sum(term in terms for term in missing) >= len(missing)]


def _answer_ids(segments: list[DriftedSegment], window: pl.DataFrame) -> list[str]:
    """Return the ids of the answers in the segments."""
    rows = [row for segment in segments for row in segment.cluster.rows]
    return window["answer_id"].gather(rows).to_list() if rows else []


def _write(out: Path, verdict: WindowVerdict, page: str, report: DriftReport) -> None:
    facts = {"severity": report.severity, "matters": verdict.is_confirmed}
    write_json(out / VERDICT, {**verdict.model_dump(mode="json"), **facts})
    write_json(out / DRIFTED, verdict.drifted)
    write_text(out / PAGE, page)


def _append_to_history(config: Config, version: MonitoredVersion, compared: Comparison, verdict: WindowVerdict) -> None:
    """Add the window's columns to Evidently's workspace, where the configuration keeps that history."""
    from tasks.adapters.monitoring.evidently_report import keep_report

    if not config.keeps_history:
        return
    columns = [name for name, column in config.columns.items() if column.kind != "embedding"]
    keep_report(
        version.settings.home / WORKSPACE,
        _reference_columns(compared, columns),
        compared.window.select(columns),
        at=datetime.fromisoformat(verdict.until),
        name=f"{short(version.model)}, window {verdict.number}",
        tags=[verdict.drift.outcome, short(version.model)],
    )


def _reference_columns(compared: Comparison, columns: list[str]) -> pl.DataFrame:
    """Return what each column is compared with, side by side; shorter columns are padded with nulls."""
    references = [compared.column_references.get(name, compared.reference).select(name) for name in columns]
    return pl.concat(references, how="horizontal_extend")


def _report(verdict: WindowVerdict) -> DriftReport:
    by_state: dict[str, list[str]] = {"suspected": [], "confirmed": [], "unmeasured": [], "steady": []}
    for found in verdict.drift.findings:
        by_state[found.state].append(found.column if found.aspect == "values" else f"{found.column} missing")
    return DriftReport(
        outcome=verdict.drift.outcome,
        severity=verdict.severity,
        model=verdict.model,
        window=verdict.number,
        rows=verdict.drift.rows[1],
        reference_rows=verdict.drift.rows[0],
        compared_with=verdict.compared_with,
        suspected=by_state["suspected"],
        confirmed=by_state["confirmed"],
        unmeasured=by_state["unmeasured"],
        parts=len(verdict.parts),
        drifted=len(verdict.drifted),
        quality=verdict.quality.now,
        quality_before=verdict.quality.before,
        quality_fell=verdict.quality.has_fallen,
    )
