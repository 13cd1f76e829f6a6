"""Decide whether a window has drifted from what the model was measured on, find out in what, and say what would help.

Reads `collect`, the version's reference and index in the registry, and the verdicts on the windows before; writes
`drift`: `verdict.json`, `drifted.json` (answer ids, for `ratchet review --drifted`) and `report.html`; into the store
the verdict and the page of a window that follows the last one; and into Evidently's workspace below `home`.
Method: core/drift.py decides, core/triage.py explains. What an evaluation cannot know, latency and cost, is compared
with the version's first served answers, and until there are enough of them is unmeasured. It is no stage of dvc.yaml,
for the reasons that `collect` gives. Caveat: an evaluation asks what its makers thought of; where real traffic differs
from it from the first day on, `reference: served` compares with what the version was first asked.
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
SERVED_ALONE = ("latency_s", "cost")  # what no evaluation knows


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
class Basis:
    """What the window is compared with. `apart`: of single columns that the reference cannot know."""

    reference: pl.DataFrame
    compared_with: ComparedWith
    apart: Mapping[str, pl.DataFrame]


@dataclass(frozen=True)
class Place:
    """Where the monitor of one version reads and remembers."""

    registry: "Registry"
    log: "WindowLog"
    settings: Settings
    folder: Path
    """For files that are only passing through."""
    model: str


def run(config: Config, collect: Path, out: Path, *, settings: Settings) -> DriftReport:
    from tasks.adapters.monitoring.drift_page import Picture, render
    from tasks.adapters.monitoring.traffic_table import embedder_of, read_traffic
    from tasks.adapters.monitoring.window_log import WindowLog
    from tasks.adapters.release.registry import Registry, open_registry
    from tasks.adapters.storage.json_files import read_object

    facts = read_object(collect / FACTS)
    store, model = open_registry(settings).store, str(facts["model"])
    with tempfile.TemporaryDirectory(prefix="ratchet-drift-") as folder:
        place = Place(Registry(store), WindowLog(store, model), settings, Path(folder), model)
        window = read_traffic(collect / WINDOW)
        basis = _basis(config, place, embedder_of(collect / WINDOW))
        verdict = decide(basis.reference, window, config, _history(config, place, facts), basis.apart)
        parts = _parts(config, place, basis, window, verdict)
        window_verdict = WindowVerdict(
            model=model,
            since=facts["since"],
            until=facts["until"],
            number=_number(place, facts),
            compared_with=basis.compared_with,
            drift=verdict,
            quality=quality_of(basis.reference, window, verdict),
            parts=parts,
            drifted=_answers(parts, window),
        )
        page = render(window_verdict, Picture(basis.reference, window, basis.apart, config.examples))
        report = _report(window_verdict)
        _write(out, window_verdict, page, report)
        if window_verdict.number is not None:
            _remember(config, place, window_verdict, page, collect / WINDOW, basis, window)
    return report


def _basis(config: Config, place: Place, embedder: str) -> Basis:
    from tasks.adapters.monitoring.traffic_table import no_traffic, read_traffic

    path = place.folder / "served.parquet"
    served = read_traffic(path, embedder) if place.log.served(path) else no_traffic()
    path = place.folder / "reference.parquet"
    if config.reference == "model" and place.model != BASE and place.registry.reference(place.model, path):
        apart = {name: served for name in SERVED_ALONE if name in config.columns}
        return Basis(read_traffic(path, embedder), "evaluation", apart)
    return Basis(served, "served" if served.height else "nothing", {})


def _history(config: Config, place: Place, facts: Mapping[str, object]) -> list[DriftVerdict]:
    """Return the verdicts on the windows before; a look at given times stands alone."""
    if not facts["is_next"]:
        return []
    return [window_verdict.drift for window_verdict in place.log.last(max(config.confirmations, 1))]


def _number(place: Place, facts: Mapping[str, object]) -> int | None:
    if not (facts["is_next"] and facts["is_whole"]):
        return None
    return max(place.log.numbers(), default=0) + 1


def _parts(
    config: Config, place: Place, basis: Basis, window: pl.DataFrame, verdict: DriftVerdict
) -> list[DriftedSegment]:
    """Return the drifted parts of a window that is at least suspected."""
    from tasks.adapters.monitoring.document_terms import indexed_terms

    rows = _rows(window)
    reference = vectors(basis.reference[EMBEDDING])
    if verdict.outcome not in ("SUSPECTED", "CONFIRMED") or len(rows.vectors) != window.height or not len(reference):
        return []
    version = None if place.model == BASE else place.model
    known = indexed_terms(place.registry, version, place.settings.data / "index", place.folder)
    clusters = triage(reference, rows, known, config.triage)
    wanted = [found for found in clusters if found.advice == "add_documents"]
    offered = _offered(config, place.settings) if wanted else []
    return [DriftedSegment(cluster=found, offers=_holding(found.missing_terms, offered)) for found in clusters]


def _rows(window: pl.DataFrame) -> Rows:
    return Rows(
        vectors=vectors(window[EMBEDDING]),
        texts=window["question"].to_list(),
        quality=_signal(window["quality"]),
        retrieval=_signal(window["retrieval_score"]),
        abstained=_signal(window["abstained"]),
    )


def _signal(series: pl.Series) -> Floats:
    """Return the values as numbers; what was not measured is NaN."""
    return np.asarray(series.cast(pl.Float64).fill_null(float("nan")).to_numpy(), dtype=np.float64)


def _offered(config: Config, settings: Settings) -> list[tuple[Offer, set[str]]]:
    from tasks.adapters.monitoring.document_terms import offered_terms

    return [(offer, offered_terms(offer, settings.s3_endpoint_url)) for offer in config.offers]


def _holding(missing: list[str], offered: list[tuple[Offer, set[str]]]) -> list[Offer]:
    """Return the offers that hold at least half of the missing terms."""
    return [offer for offer, terms in offered if missing and 2 * sum(term in terms for term in missing) >= len(missing)]


def _answers(parts: list[DriftedSegment], window: pl.DataFrame) -> list[str]:
    """Return the ids of the answers in the parts."""
    rows = [row for part in parts for row in part.cluster.rows]
    return window["answer_id"].gather(rows).to_list() if rows else []


def _write(out: Path, window_verdict: WindowVerdict, page: str, report: DriftReport) -> None:
    write_json(
        out / VERDICT,
        {**window_verdict.model_dump(mode="json"), "severity": report.severity, "matters": window_verdict.matters},
    )
    write_json(out / DRIFTED, window_verdict.drifted)
    write_text(out / PAGE, page)


def _remember(
    config: Config,
    place: Place,
    window_verdict: WindowVerdict,
    page: str,
    window_file: Path,
    basis: Basis,
    window: pl.DataFrame,
) -> None:
    """Keep the window: last of all its verdict, so that a run killed before is simply done again."""
    from tasks.adapters.monitoring.evidently_report import keep_report

    if config.keeps_history:
        columns = [name for name, column in config.columns.items() if column.kind != "embedding"]
        keep_report(
            place.settings.home / WORKSPACE,
            _before(basis, columns),
            window.select(columns),
            at=datetime.fromisoformat(window_verdict.until),
            name=f"{short(place.model)}, window {window_verdict.number}",
            tags=[window_verdict.drift.outcome, short(place.model)],
        )
    place.log.keep_served(window_file)
    place.log.append(window_verdict, page)


def _before(basis: Basis, columns: list[str]) -> pl.DataFrame:
    """Return what each column is compared with, side by side; a shorter one ends in nulls."""
    parts = [basis.apart.get(name, basis.reference).select(name) for name in columns]
    return pl.concat(parts, how="horizontal_extend")


def _report(window_verdict: WindowVerdict) -> DriftReport:
    by_state: dict[str, list[str]] = {"suspected": [], "confirmed": [], "unmeasured": [], "steady": []}
    for found in window_verdict.drift.findings:
        by_state[found.state].append(found.column if found.aspect == "values" else f"{found.column} missing")
    return DriftReport(
        outcome=window_verdict.drift.outcome,
        severity=window_verdict.severity,
        model=window_verdict.model,
        window=window_verdict.number,
        rows=window_verdict.drift.rows[1],
        reference_rows=window_verdict.drift.rows[0],
        compared_with=window_verdict.compared_with,
        suspected=by_state["suspected"],
        confirmed=by_state["confirmed"],
        unmeasured=by_state["unmeasured"],
        parts=len(window_verdict.parts),
        drifted=len(window_verdict.drifted),
        quality=window_verdict.quality.now,
        quality_before=window_verdict.quality.before,
        quality_fell=window_verdict.quality.has_fallen,
    )
