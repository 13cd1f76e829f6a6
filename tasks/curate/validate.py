"""Check both tables against expectation suites and set bad records aside.

Reads `redact`, writes `validate`: the records that pass, `quarantine.jsonl` (each refused record whole, with its
reasons) and `report.html`, which opens without network. The suites in `configs/curate/expectations/` see a few
numbers for each record, not its text. A conversation that refers to an unknown or a refused document is refused too.
The run stops at a failed critical expectation, and where more than `max_quarantined` of a table would be lost.
A table without bad rows is copied as it is. Memory: some 60 bytes a record, beside a batch.
"""

import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.adapters.curation.validation_page import TableResult, write_page
from tasks.adapters.storage.files import whole_file
from tasks.adapters.storage.tables import (
    CONVERSATION_SCHEMA,
    CONVERSATIONS,
    DOCUMENT_SCHEMA,
    DOCUMENTS,
    frame_of,
    num_rows,
    read_batches,
    table_writer,
)
from tasks.core.curation.validation_features import conversation_features, copies, document_features, id_hashes, said
from tasks.core.errors import DataError
from tasks.core.stage import Report, StageConfig

if TYPE_CHECKING:
    from tasks.adapters.curation.expectations import Expectation, Outcome
    from tasks.adapters.curation.language_id import LanguageIdentifier

QUARANTINE, PAGE = "quarantine.jsonl", "report.html"
Hashes = np.ndarray[tuple[int], np.dtype[np.uint64]]
Features = Callable[[pl.DataFrame, Hashes], pl.DataFrame]


class Config(StageConfig):
    suites: Path = Path("configs/curate/expectations")
    """Folder of documents.json and conversations.json."""
    max_quarantined: float = 0.05
    """Largest share of a table that may be set aside; beyond it the run stops."""
    languages: tuple[str, ...] = ("en",)
    """Accepted languages, ISO 639-1."""
    min_language_confidence: float = 0.5
    """Confidence from which a text counts as being in another language."""
    language_sample: int = 2000
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
    from tasks.adapters.curation.expectations import load_suite
    from tasks.adapters.curation.language_id import LanguageIdentifier

    suites = {kind.name: load_suite(config.suites / f"{kind.name}.json") for kind in KINDS}
    identifier = LanguageIdentifier(config.languages, config.min_language_confidence)
    with whole_file(out / QUARANTINE) as quarantine:
        validation = _Validation(config, identifier, quarantine)
        results = [validation.check(kind, suites[kind.name], redact / kind.file, out / kind.file) for kind in KINDS]
    write_page(out / PAGE, results)
    _refuse(results, config, out)
    return _report(results)


class _Validation:
    """Checks the documents, then the conversations, which may refer only to documents that passed."""

    def __init__(self, config: Config, identifier: "LanguageIdentifier", quarantine: TextIO) -> None:
        self._config, self._identifier, self._quarantine = config, identifier, quarantine
        self._known_documents: Hashes = np.empty(0, dtype=np.uint64)

    def check(self, kind: _Kind, suite: Sequence["Expectation"], source: Path, target: Path) -> TableResult:
        """Write the rows of `source` that pass to `target` and the others to the quarantine."""
        from tasks.adapters.curation.expectations import RECORDS, SCHEMA, check, require

        fields = pl.DataFrame({"field": [f"{field.name}: {field.type}" for field in pq.read_schema(source)]})
        outcomes = check(kind.name, suite, {SCHEMA: fields})
        require(outcomes, kind.name, f"the columns of {source}")
        features, hashes = self._features(kind, source)
        outcomes += check(kind.name, suite, {RECORDS: features})
        reasons = _reasons(outcomes)
        self._divide(kind, source, target, reasons)
        if kind.name == "documents":
            self._known_documents = np.sort(np.delete(hashes, list(reasons)))
        return TableResult(kind.name, len(hashes), reasons, outcomes)

    def _features(self, kind: _Kind, source: Path) -> tuple[pl.DataFrame, Hashes]:
        """Return a row of numbers for each record, and the hash of its id."""
        step = max(1, num_rows(source) // max(self._config.language_sample, 1))
        frames, hashes, position = [], [np.empty(0, dtype=np.uint64)], 0
        for batch in read_batches(source):
            sampled = (pl.int_range(position, position + batch.height, eager=True) % step == 0).arg_true()
            foreign = self._identifier.foreign(kind.texts(batch).gather(sampled)) != ""
            unknown = pl.repeat(None, batch.height, dtype=pl.Float64, eager=True)
            is_foreign = unknown.scatter(sampled, foreign.cast(pl.Float64)) if len(sampled) else unknown
            frames.append(kind.features(batch, self._known_documents).with_columns(is_foreign=is_foreign))
            hashes.append(id_hashes(batch["id"]))
            position += batch.height
        every = np.concatenate(hashes)
        if not frames:
            empty = kind.features(frame_of([], kind.schema), self._known_documents)
            frames = [empty.with_columns(is_foreign=pl.lit(None, pl.Float64))]
        return pl.concat(frames).with_columns(copies(every)), every

    def _divide(self, kind: _Kind, source: Path, target: Path, reasons: dict[int, list[str]]) -> None:
        if not reasons:
            shutil.copyfile(source, target)
            return
        position = 0
        with table_writer(target, kind.schema) as writer:
            for batch in read_batches(source):
                bad = [row - position for row in range(position, position + batch.height) if row in reasons]
                is_good = pl.repeat(True, batch.height, dtype=pl.Boolean, eager=True).scatter(bad, False)
                writer.write(batch.filter(is_good))
                for line in _quarantined(kind, batch, bad, [reasons[row + position] for row in bad]):
                    self._quarantine.write(line)
                position += batch.height


def _reasons(outcomes: Sequence["Outcome"]) -> dict[int, list[str]]:
    """Return why each bad row is bad, in the suite's order."""
    reasons = defaultdict[int, list[str]](list)
    for outcome in outcomes:
        if outcome.expectation.severity != "info":
            for row in outcome.rows:
                reasons[row].append(outcome.expectation.meta.reason)
    return dict(sorted(reasons.items()))


def _quarantined(kind: _Kind, batch: pl.DataFrame, rows: list[int], reasons: list[list[str]]) -> Iterator[str]:
    for row, why in zip(batch[rows].iter_rows(named=True), reasons, strict=True):
        entry = {"id": row["id"], "record": kind.name.removesuffix("s"), "reasons": why, "row": row}
        yield json.dumps(entry, sort_keys=True, ensure_ascii=False) + "\n"


def _refuse(results: Sequence[TableResult], config: Config, out: Path) -> None:
    """Raise DataError where a table failed a critical expectation or would lose too many rows."""
    from tasks.adapters.curation.expectations import require

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
