"""Counts of a run's data and costs, from the folders that its stages left: how many, of what, how long, never content.

Reads report.json, dropped.jsonl, quarantine.jsonl and row counts of the stages' folders, and the cost files of the
runner. A stage that did not run, or left no such file, is left out.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from tasks.adapters.storage.files import file_digest, read_jsonl
from tasks.adapters.storage.json_files import read_object
from tasks.adapters.storage.tables import CONVERSATIONS, DOCUMENTS, num_rows, read_batches
from tasks.core.release.lineage import (
    CostFacts,
    DataFacts,
    DropFact,
    JourneyFact,
    SourceFact,
    StageCost,
    TokenCount,
)

CURATION = ("ingest", "redact", "validate", "clean", "dedup", "split")
STAGES = (*CURATION, "index", "train", "fetch", "evaluate")
REPORT = "report.json"
DROPS = ("quarantine.jsonl", "dropped.jsonl")
MAX_REASON = 120  # characters; a reason is a rule's name, not a text


def data_facts(folders: Mapping[str, Path], files: Sequence[Path]) -> DataFacts:
    """Return what is known about the data in the stages' `folders`, with digests of `files`."""
    return DataFacts(
        sources=_sources(folders["split"]),
        journey=[fact for stage in CURATION if stage in folders if (fact := _journey(stage, folders[stage]))],
        dropped=[fact for stage in CURATION if stage in folders for fact in _drops(stage, folders[stage])],
        files={f"{path.parent.name}/{path.name}": file_digest(path) for path in files},
    )


def stage_folders(roots: Sequence[Path]) -> dict[str, Path]:
    """Return the folder of each stage that has a report, from the first of `roots` that holds it."""
    found = {}
    for stage in STAGES:
        for root in roots:
            if (root / stage / REPORT).exists():
                found[stage] = root / stage
                break
    return found


def reports(folders: Mapping[str, Path]) -> dict[str, object]:
    """Return each stage's report, numbers only: a text in one could come from the data."""
    return {stage: _numbers(read_object(folder / REPORT)) for stage, folder in folders.items()}


def cost_facts(home: Path, rows: pl.DataFrame) -> CostFacts:
    """Return what the stages cost as last run in this checkout, and the tokens in the evaluation's `rows`."""
    costs = {}
    for path in sorted((home / "stages").glob("*/cost.json")):
        note = json.loads(path.read_text(encoding="utf-8"))
        costs[path.parent.name] = StageCost(
            wall_s=round(note["wall_s"], 3), cpu_s=round(note["cpu_s"], 3), peak_bytes=note["peak_bytes"]
        )
    measured = home / "stages" / "evaluate" / "measurements.json"
    return CostFacts(
        stages=costs,
        evaluation_tokens=evaluation_tokens(rows),
        measurements=json.loads(measured.read_text(encoding="utf-8")) if measured.exists() else {},
    )


def evaluation_tokens(rows: pl.DataFrame) -> dict[str, TokenCount]:
    """Return the tokens read and written by each evaluated model."""
    if not {"model", "prompt_tokens", "completion_tokens"} <= set(rows.columns):
        return {}
    sums = rows.group_by("model").agg(pl.col("prompt_tokens").sum(), pl.col("completion_tokens").sum()).sort("model")
    return {model: TokenCount(prompt=prompt or 0, completion=written or 0) for model, prompt, written in sums.rows()}


def _sources(split: Path) -> list[SourceFact]:
    counts: dict[str, Counter[tuple[str, str]]] = {
        kind: _by_source(split / f"{name}.parquet")
        for kind, name in (("documents", "documents"), ("train", "train"), ("eval", "eval"))
    }
    return [
        SourceFact(
            source=source,
            licence=licence,
            documents=counts["documents"][source, licence],
            train_conversations=counts["train"][source, licence],
            eval_conversations=counts["eval"][source, licence],
        )
        for source, licence in sorted(set().union(*counts.values()))
    ]


def _by_source(path: Path) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for batch in read_batches(path, columns=["source", "licence"]):
        for source, licence, count in batch.group_by("source", "licence").len().rows():
            counts[source, licence] += count
    return counts


def _journey(stage: str, folder: Path) -> JourneyFact | None:
    if not (folder / DOCUMENTS).exists():
        return None
    sides = [folder / f"{side}.parquet" for side in ("train", "eval", "holdout")]
    conversations = [folder / CONVERSATIONS] if (folder / CONVERSATIONS).exists() else [s for s in sides if s.exists()]
    return JourneyFact(
        stage=stage, documents=num_rows(folder / DOCUMENTS), conversations=sum(map(num_rows, conversations))
    )


def _drops(stage: str, folder: Path) -> list[DropFact]:
    reasons: Counter[str] = Counter()
    if stage == "ingest":  # its quarantine holds raw data; its report has the counts
        reasons.update(read_object(folder / REPORT).get("reasons", {}))
    for name in DROPS if stage != "ingest" else ():
        if (folder / name).exists():
            reasons.update(str(row.get("reason", "unknown"))[:MAX_REASON] for row in read_jsonl(folder / name))
    return [DropFact(stage=stage, reason=reason, count=count) for reason, count in sorted(reasons.items())]


def _numbers(value: object) -> object:
    if isinstance(value, dict):
        kept = {str(key): _numbers(inner) for key, inner in value.items()}
        return {key: inner for key, inner in kept.items() if inner is not None}
    return value if isinstance(value, (int, float)) else None
