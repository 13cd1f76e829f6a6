"""Check both tables against expectation suites and set bad records aside.

Reads `redact`, writes `validate`: the records that pass, `quarantine.jsonl` (each refused record whole, with its
reasons) and `report.html`, which opens without network. The suites in `configs/curate/expectations/` see a few
numbers for each record, not its text. A conversation that refers to an unknown or a refused document is refused too.
The run stops at a failed critical expectation, and where more than `max_quarantined` of a table would be lost.
Memory: some 60 bytes a record, beside a batch.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.adapters.files import whole_file
from tasks.adapters.tables import (
    CONVERSATION_SCHEMA,
    CONVERSATIONS,
    DOCUMENT_SCHEMA,
    DOCUMENTS,
    num_rows,
    read_batches,
    table_writer,
)
from tasks.adapters.validation_page import TableResult, write_page
from tasks.core.errors import DataError
from tasks.core.record_features import conversation_features, copies, document_features, id_hashes, said
from tasks.core.stage import Report, StageConfig

if TYPE_CHECKING:
    from tasks.adapters.expectations import Expectation, Outcome
    from tasks.adapters.language import LanguageIdentifier

logger = logging.getLogger(__name__)

QUARANTINE, PAGE = "quarantine.jsonl", "report.html"
Features = Callable[[pl.DataFrame, np.ndarray], pl.DataFrame]


class Config(StageConfig):
    suites: Path = Path("configs/curate/expectations")
    """Folder of documents.json and conversations.json."""
    max_quarantined: float = 0.05
    """Largest share of a table that may be set aside; beyond it the run stops."""
    languages: tuple[str, ...] = ("en",)
    """Accepted languages, ISO 639-1."""
    min_language_confidence: float = 0.5
    """Confidence from which a text counts as being in another language."""
    language_sample: int = 5000
    """How many records of a table, about, are looked at for the share of other languages."""


class ExpectationResult(Report):
    table: str
    description: str
    severity: str
    success: bool
    observed: str


class ValidateReport(Report):
    documents: int
    documents_quarantined: int
    conversations: int
    conversations_quarantined: int
    reasons: dict[str, dict[str, int]]
    """Quarantined records by table and reason; a record may have several."""
    expectations: list[ExpectationResult]


@dataclass(frozen=True)
class _Kind:
    """What differs between the two tables."""

    name: str
    file: str
    schema: pa.Schema
    features: Features
    texts: Callable[[pl.DataFrame], pl.Series]


KINDS = (
    _Kind(
        "documents", DOCUMENTS, DOCUMENT_SCHEMA, lambda batch, _: document_features(batch), lambda batch: batch["text"]
    ),
    _Kind("conversations", CONVERSATIONS, CONVERSATION_SCHEMA, conversation_features, said),
)


def run(config: Config, redact: Path, out: Path) -> ValidateReport:
    from tasks.adapters.expectations import load_suite
    from tasks.adapters.language import LanguageIdentifier

    suites = {kind.name: load_suite(config.suites / f"{kind.name}.json") for kind in KINDS}
    identifier = LanguageIdentifier(config.languages, config.min_language_confidence)
    known = np.empty(0, dtype=np.uint64)
    results: list[TableResult] = []
    with whole_file(out / QUARANTINE) as quarantine:
        for kind in KINDS:
            source = redact / kind.file
            outcomes = _outcomes(kind, suites[kind.name], source, _Look(config, identifier, known))
            reasons = _reasons(outcomes)
            kept = np.sort(_divide(kind, source, out, reasons, quarantine))
            known = kept if kind.name == "documents" else known
            results.append(TableResult(kind.name, num_rows(source), reasons, outcomes))
    write_page(out / PAGE, results)
    _refuse(results, config, out)
    return _report(results)


@dataclass(frozen=True)
class _Look:
    """What it takes to turn a batch into features."""

    config: Config
    identifier: "LanguageIdentifier"
    known_documents: np.ndarray


def _outcomes(kind: _Kind, suite: Sequence["Expectation"], source: Path, look: _Look) -> list["Outcome"]:
    """Check the schema, then, if it is right, the features of every record."""
    from tasks.adapters.expectations import RECORDS, SCHEMA, check, require

    fields = pl.DataFrame({"field": [f"{field.name}: {field.type}" for field in pq.read_schema(source)]})
    schema = check(kind.name, suite, {SCHEMA: fields})
    require(schema, kind.name, f"the columns of {source}")
    return [*schema, *check(kind.name, suite, {RECORDS: _features(kind, source, look)})]


def _features(kind: _Kind, source: Path, look: _Look) -> pl.DataFrame:
    step = max(1, num_rows(source) // max(look.config.language_sample, 1))
    frames, hashes, position = [], [], 0
    for batch in read_batches(source):
        frame = kind.features(batch, look.known_documents)
        sampled = pl.int_range(position, position + batch.height, eager=True) % step == 0
        foreign = look.identifier.foreign(kind.texts(batch).filter(sampled)) != ""
        rows = sampled.arg_true()
        empty = pl.repeat(None, batch.height, dtype=pl.Float64, eager=True)
        frames.append(
            frame.with_columns(is_foreign=empty.scatter(rows, foreign.cast(pl.Float64)) if len(rows) else empty)
        )
        hashes.append(id_hashes(batch["id"]))
        position += batch.height
    if not frames:
        empty_batch = pl.from_arrow(kind.schema.empty_table())
        assert isinstance(empty_batch, pl.DataFrame)
        frame = kind.features(empty_batch, look.known_documents)
        return frame.with_columns(is_foreign=pl.lit(None, pl.Float64), copy=pl.lit(None, pl.Int64))
    return pl.concat(frames).with_columns(copies(np.concatenate(hashes)))


def _reasons(outcomes: Sequence["Outcome"]) -> dict[int, list[str]]:
    """Return why each bad row is bad, in the suite's order."""
    reasons = defaultdict[int, list[str]](list)
    for outcome in outcomes:
        if outcome.expectation.severity != "info":
            for row in outcome.rows:
                reasons[row].append(outcome.expectation.meta.reason)
    return dict(sorted(reasons.items()))


def _divide(kind: _Kind, source: Path, out: Path, reasons: dict[int, list[str]], quarantine: TextIO) -> np.ndarray:
    """Write good rows to the table and bad ones to the quarantine; return the id hashes of the good ones."""
    kept, position = [np.empty(0, dtype=np.uint64)], 0
    with table_writer(out / kind.file, kind.schema) as writer:
        for batch in read_batches(source):
            bad = [row - position for row in range(position, position + batch.height) if row in reasons]
            is_good = pl.repeat(True, batch.height, dtype=pl.Boolean, eager=True).scatter(bad, False)
            good = batch.filter(is_good)
            writer.write(good)
            kept.append(id_hashes(good["id"]))
            for line in _quarantined(kind, batch, bad, [reasons[row + position] for row in bad]):
                quarantine.write(line)
            position += batch.height
    return np.concatenate(kept)


def _quarantined(kind: _Kind, batch: pl.DataFrame, rows: list[int], reasons: list[list[str]]) -> Iterator[str]:
    for row, why in zip(batch[rows].iter_rows(named=True), reasons, strict=True):
        entry = {"id": row["id"], "record": kind.name.removesuffix("s"), "reasons": why, "row": row}
        yield json.dumps(entry, sort_keys=True, ensure_ascii=False) + "\n"


def _refuse(results: Sequence[TableResult], config: Config, out: Path) -> None:
    """Raise DataError where a table failed a critical expectation or would lose too many rows."""
    from tasks.adapters.expectations import require

    failed = out.with_name(out.name.removesuffix(".part") + ".failed")
    for result in results:
        require(result.outcomes, result.name, f"{failed / QUARANTINE} and {failed / PAGE}")
        if result.rows and len(result.reasons) / result.rows > config.max_quarantined:
            raise DataError(
                f"{len(result.reasons)} of {result.rows} {result.name} fail validation, more than the share "
                f"{config.max_quarantined} of curate.validate.max_quarantined: look at {failed / QUARANTINE} and "
                f"{failed / PAGE}."
            )


def _report(results: Sequence[TableResult]) -> ValidateReport:
    kept = {result.name: result.rows - len(result.reasons) for result in results}
    return ValidateReport(
        documents=kept["documents"],
        documents_quarantined=len(results[0].reasons),
        conversations=kept["conversations"],
        conversations_quarantined=len(results[1].reasons),
        reasons={result.name: result.by_reason() for result in results},
        expectations=[
            ExpectationResult(
                table=result.name,
                description=outcome.expectation.description,
                severity=outcome.expectation.severity,
                success=outcome.success,
                observed=outcome.observed,
            )
            for result in results
            for outcome in result.outcomes
        ],
    )
