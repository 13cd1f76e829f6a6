"""What the gate decides on: a candidate, its evidence read from the stages' folders, and the verdict on it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from tasks.core.errors import DataError
from tasks.core.release.gate import Evidence, GateConfig, decide
from tasks.core.release.lineage import (
    DataFacts,
    Manifest,
    verdict_key,
)
from tasks.core.release.verdict import Verdict

ROWS, PROBE = "rows.parquet", "probe.parquet"


@dataclass(frozen=True)
class Inputs:
    """The folders of the stages before."""

    train: Path
    fetch: Path
    evaluate: Path
    split: Path
    index: Path
    roots: tuple[Path, ...]
    """Where other stages' reports may lie, best first."""


@dataclass(frozen=True)
class Case:
    """A candidate with its evidence and the gate's verdict on it: all that follows from the inputs alone."""

    manifest: Manifest
    champion: str | None
    rows: pl.DataFrame
    evidence: dict[str, str]
    rules: dict[str, object]
    verdict: Verdict
    data: DataFacts

    @property
    def key(self) -> str:
        return verdict_key(self.manifest.digest, self.champion, self.evidence, self.rules)


def build_case(config: GateConfig, inputs: Inputs) -> Case:
    """Return the candidate, its evidence and the verdict, without touching the store.

    Raises DataError for measurements that are not of this split.
    """
    from tasks.adapters.release.candidate_manifest import candidate_manifest
    from tasks.adapters.release.data_summary import data_facts, stage_folders
    from tasks.adapters.storage.files import file_digest
    from tasks.adapters.storage.json_files import read_object

    champion = read_object(inputs.fetch / "champion.json").get("digest")
    rows, probe = _read(inputs.evaluate / ROWS), _read(inputs.evaluate / PROBE)
    _refuse_other_items(rows, inputs)
    comparator: Literal["champion", "base"] = "champion" if champion else "base"
    asked = read_object(inputs.evaluate / "report.json").get("items")
    used = [inputs.split / f"{side}.parquet" for side in ("train", "eval")]
    return Case(
        manifest=candidate_manifest(inputs.train, inputs.index),
        champion=champion,
        rows=rows,
        evidence={name: file_digest(inputs.evaluate / name) for name in (ROWS, PROBE)},
        rules=config.model_dump(mode="json", include=set(GateConfig.model_fields)),
        verdict=decide(Evidence(rows, probe, comparator, num_items=asked), config),
        data=data_facts({**stage_folders(inputs.roots), "split": inputs.split}, used),
    )


def _read(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"{path} cannot be read ({type(error).__name__}): run `ratchet stage finetune.evaluate` again."
        ) from None


def _refuse_other_items(rows: pl.DataFrame, inputs: Inputs) -> None:
    if "item_id" not in rows.columns:
        return  # the gate says so
    known = pl.read_parquet(inputs.split / "eval.parquet", columns=["id"])["id"].implode()
    others = rows.filter(~pl.col("item_id").is_in(known))["item_id"].n_unique()
    if others:
        raise DataError(
            f"{inputs.evaluate / ROWS} measures {others} items that {inputs.split / 'eval.parquet'} does not hold: "
            "run `ratchet stage finetune.evaluate` again."
        )
