"""Decide whether the candidate may serve, and make it the champion where the evidence allows.

Reads `train` and `index` (the candidate), `fetch` (the champion), `evaluate` (rows, probe and summary of measurements),
`split` (the data behind it), and reports of the stages before. Writes `promote`: `verdict.json`, `release_note.html`,
`model_card.md`; and into the store: the version with its golden questions and what its traffic will be compared with
(evaluate's reference.parquet), the ledger's entries, the pointers, and a copy of the two pages with commit and cost.
Every write to the store can be repeated: a run killed anywhere and run again leaves one version, one verdict and one
move. The files in `promote` hold neither time nor cost: the same inputs give the same bytes.
"""

import json
import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from pydantic import Field

from tasks.adapters.release.gate_case import Case, Inputs, build_case
from tasks.adapters.storage.files import write_json, write_text
from tasks.core.digests import digest_of
from tasks.core.errors import DataError
from tasks.core.release.gate import GateConfig
from tasks.core.release.ledger import Entry
from tasks.core.release.ledger_entries import Superseded
from tasks.core.release.lineage import (
    RunFacts,
    VerdictFacts,
    run_key,
    superseded_key,
)
from tasks.core.release.verdict import Outcome
from tasks.core.stage import Report
from tasks.settings import Settings

if TYPE_CHECKING:
    from tasks.adapters.release.registry import Registry

logger = logging.getLogger(__name__)

SUMMARY, VERDICT = "summary.json", "verdict.json"
REFERENCE = "reference.parquet"


class Config(GateConfig):
    licence: str = "apache-2.0"
    """SPDX identifier of the adapter's licence, for the model card."""
    moves_champion: bool = True
    """Whether PROMOTE makes the candidate the champion at once; False leaves that to the rollout `deploy` begins."""
    golden: int = Field(default=8, ge=0)
    """Questions kept beside the version, which a gateway asks it before it serves."""
    examples: int = Field(default=6, ge=0)
    """Changed answers that the release note shows each way."""


class PromoteReport(Report):
    outcome: Outcome
    candidate: str
    champion: str | None
    """Version it was measured against; None: the base model."""
    items: int
    score: float | None
    """Primary metric of the candidate."""
    score_before: float | None
    gain: float | None
    gain_low: float | None
    """Lower bound of the gain, unmeasured values counted as the worst."""
    gain_high: float | None
    least_detectable_effect: float | None
    items_needed: int | None
    reasons: list[str]


def run(
    config: Config, train: Path, fetch: Path, evaluate: Path, split: Path, index: Path, out: Path, *, settings: Settings
) -> PromoteReport:
    from tasks.adapters.release.candidate_manifest import candidate_files
    from tasks.adapters.release.registry import Move, open_registry

    inputs = Inputs(train, fetch, evaluate, split, index, (out.parent, settings.data))
    case = build_case(config, inputs)
    registry = open_registry(settings)
    registry.register(case.manifest, candidate_files(train, index))
    _keep_golden(config, case, registry)
    registry.keep_reference(case.manifest.digest, _reference(evaluate))
    facts = _run_facts(case, inputs, registry, settings)
    entry = registry.ledger.append(facts, run_key(case.key, facts.checkout), at=_now())
    assert isinstance(entry.facts, RunFacts)
    facts = entry.facts  # of the first try, where this one repeats it
    registry.move(Move("candidate", case.manifest.digest, entry, _now(), facts.trigger))
    pages = _write_pages(config, case, registry, facts, out)
    decision = _record_verdict(case, registry, entry, pages)
    if case.verdict.outcome == "PROMOTE" and config.moves_champion:
        _move_champion(case, registry, decision, facts)
    return _report(case)


def is_unrecorded(promote_folder: Path, settings: Settings) -> bool:
    """Return whether the store lacks the candidate that the verdict in `promote_folder` is about.

    So it is after the store was emptied, or another one was configured: DVC cannot see that, and flows ask. Without a
    verdict the question has no answer yet. Raises ExternalError when the store cannot be asked.
    """
    from tasks.adapters.release.registry import open_registry

    try:
        candidate = json.loads((promote_folder / VERDICT).read_text(encoding="utf-8"))["candidate"]
    except (OSError, ValueError, KeyError):
        return False
    return candidate not in open_registry(settings).models()


def _reference(evaluate: Path) -> Path:
    path = evaluate / REFERENCE
    if not path.exists():
        raise DataError(f"{path} is missing: run `ratchet stage finetune.evaluate` again.")
    return path


def _run_facts(case: Case, inputs: Inputs, registry: "Registry", settings: Settings) -> RunFacts:
    from tasks.adapters.release import data_summary
    from tasks.adapters.storage.json_files import read_object
    from tasks.adapters.system import provenance

    folders = data_summary.stage_folders(inputs.roots)
    seed = read_object(inputs.train / "report.json").get("seed")
    summary, lock = inputs.evaluate / SUMMARY, Path("dvc.lock")
    return RunFacts(
        candidate=case.manifest.digest,
        champion=case.champion,
        trigger=provenance.trigger(os.environ),
        checkout=provenance.checkout_name(settings.home),
        code=provenance.code(Path()),
        versions=provenance.library_versions(),
        dvc_lock=registry.put_bytes(lock.read_bytes()) if lock.exists() else None,
        configs=provenance.configuration(Path("configs")),
        seed=seed if isinstance(seed, int) else None,
        data=case.data,
        reports=data_summary.reports(folders),
        metrics=read_object(summary) if summary.exists() else {},
        cost=data_summary.cost_facts(settings.home, case.rows),
    )


def _write_pages(config: Config, case: Case, registry: "Registry", facts: RunFacts, out: Path) -> dict[str, str]:
    """Write verdict, release note and model card, and return the store's blobs of the two pages."""
    from tasks.adapters.release import ledger_queries, model_card, release_note
    from tasks.adapters.release.data_summary import evaluation_tokens
    from tasks.core.release.answer_changes import changed_answers

    before = ledger_queries.run_of(registry.ledger, case.champion) if case.champion else None
    note = release_note.Note(
        verdict=case.verdict,
        manifest=case.manifest,
        champion=case.champion,
        changes=changed_answers(case.rows, case.verdict.comparator, config.primary, config.examples),
        data=case.data,
        previous=before.data if before else None,
        tokens=evaluation_tokens(case.rows),
        resamples=config.resamples,
    )
    card = model_card.render(model_card.Card(case.manifest, case.verdict, case.champion, case.data, config.licence))
    verdict = {"candidate": case.manifest.digest, "champion": case.champion, **case.verdict.model_dump(mode="json")}
    write_json(out / VERDICT, verdict)
    write_text(out / "release_note.html", release_note.render(note))
    write_text(out / "model_card.md", card)
    pages = {"release_note.html": release_note.render(note, facts), "model_card.md": card}
    return {name: registry.put_bytes(text.encode("utf-8")) for name, text in pages.items()}


def _keep_golden(config: Config, case: Case, registry: "Registry") -> None:
    """Keep questions that the candidate answered rightly, for whoever is to serve it."""
    from tasks.adapters.release.golden_questions import keep_golden
    from tasks.core.release.golden_questions import draw_golden

    rows = case.rows.filter(pl.col("model") == "candidate")
    keep_golden(registry.store, case.manifest.digest, draw_golden(rows.iter_rows(named=True), config.golden))


def _record_verdict(case: Case, registry: "Registry", run_entry: Entry, pages: dict[str, str]) -> Entry:
    from tasks.adapters.release.ledger_queries import earlier_looks

    items = digest_of(sorted(set(case.rows["item_id"].drop_nulls()))) if "item_id" in case.rows.columns else ""
    facts = VerdictFacts(
        candidate=case.manifest.digest,
        champion=case.champion,
        run=run_entry.digest,
        run_number=run_entry.number,
        rows=case.evidence,
        items=items,
        looks=earlier_looks(registry.ledger, items) + 1,
        rules=case.rules,
        verdict=case.verdict,
        pages=pages,
    )
    return registry.ledger.append(facts, case.key, at=_now())


def _move_champion(case: Case, registry: "Registry", decision: Entry, facts: RunFacts) -> None:
    """Make the candidate the champion. Raises SupersededError where another run promoted first, and records that."""
    from tasks.adapters.release.registry import Move, SupersededError

    try:
        registry.move(Move("champion", case.manifest.digest, decision, _now(), facts.trigger), expected={case.champion})
    except SupersededError as error:
        standing = error.pointer
        lost = Superseded(
            candidate=case.manifest.digest,
            expected=case.champion,
            found=standing.model if standing else None,
            verdict=decision.digest,
            checkout=facts.checkout,
        )
        registry.ledger.append(lost, superseded_key(case.key, standing.entry if standing else "none"), at=_now())
        raise


def _report(case: Case) -> PromoteReport:
    verdict, c = case.verdict, case.verdict.primary.comparison
    return PromoteReport(
        outcome=verdict.outcome,
        candidate=case.manifest.digest,
        champion=case.champion,
        items=verdict.items,
        score=c.candidate,
        score_before=c.champion,
        gain=c.gain,
        gain_low=c.low,
        gain_high=c.high,
        least_detectable_effect=verdict.least_detectable_effect,
        items_needed=verdict.items_needed,
        reasons=verdict.reasons,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
