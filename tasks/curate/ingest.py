"""Read the sources into the raw zone: documents and conversations with stable ids, and a manifest.

Reads what `sources` names; writes `ingest`: `documents.parquet`, `conversations.parquet`, `manifest.json`, and
`quarantine.jsonl` with what could not be read. Ids follow from content, times come from the sources, so reading an
unchanged source again gives the same bytes. The folder is private: no other may hold personal data as it came.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from tasks.adapters.sources.raw_zone import QUARANTINE, RawZone, Tally, open_raw_zone
from tasks.adapters.storage.files import write_json
from tasks.core.errors import DataError
from tasks.core.records.schema import SCHEMA_VERSION
from tasks.core.sources.kinds import (
    PythonReference,
    Source,
    describe,
)
from tasks.core.stage import Report, StageConfig
from tasks.settings import Settings

if TYPE_CHECKING:
    from tasks.adapters.sources.reader import SourceReader

logger = logging.getLogger(__name__)

PRIVATE = True
MANIFEST = "manifest.json"


class Config(StageConfig):
    sources: list[Source] = Field(default=[PythonReference()], min_length=1)
    """Where documents and conversations come from, read in this order."""
    max_record_bytes: int = Field(default=10_000_000, ge=1024)
    """A longer line or file goes to the quarantine."""
    max_quarantined: float = Field(default=0.2, ge=0, le=1)
    """Largest share of unreadable records with which the run goes on."""


class IngestReport(Report):
    documents: int
    families: int
    """Groups of documents that stay together in the split."""
    conversations: int
    unanswerable: int
    held_out: int
    """Conversations in a wording that is kept out of training."""
    kinds: dict[str, int]
    """Conversations by what they ask."""
    quarantined: int
    reasons: dict[str, int]
    """Records in quarantine by reason."""
    skipped: int
    """Feedback that corrects nothing or is not accepted."""
    sources: list[dict[str, str | int]]
    """Each source as the manifest has it."""


def run(config: Config, out: Path, *, settings: Settings | None = None) -> IngestReport:
    """Read every source and return the counts. Raises ConfigError, DataError or ExternalError naming the source."""
    settings = settings or Settings()
    fingerprint = source_fingerprint(config, settings)  # first: the next run then sees a change made while we read
    readers = _open(config, settings)
    with open_raw_zone(out) as zone:
        for source, reader in zip(config.sources, readers, strict=True):
            zone.begin_source()
            logger.info("reading %s", describe(source))
            reader.read(zone)
    _refuse_bad_quarantine(zone.tallies, config, out.with_name(f"{out.stem}.failed") / QUARANTINE)
    _refuse_empty(zone.tallies, config, readers)
    entries = [
        _entry(source, reader, tally)
        for source, reader, tally in zip(config.sources, readers, zone.tallies, strict=True)
    ]
    write_json(out / MANIFEST, {"schema": SCHEMA_VERSION, "fingerprint": fingerprint, "sources": entries})
    return _report(zone, entries)


def source_fingerprint(config: Config, settings: Settings) -> str:
    """Return a digest that differs from the manifest's `fingerprint` when a source or the configuration changed.

    Cheap: it lists and looks at sizes, times and versions, and reads files only while they are few.
    """
    readers = _open(config, settings)
    states = [
        [source.model_dump_json(), reader.fingerprint()] for source, reader in zip(config.sources, readers, strict=True)
    ]
    limits = config.model_dump(mode="json", exclude={"sources"})
    return hashlib.sha256(json.dumps([SCHEMA_VERSION, limits, states], sort_keys=True).encode()).hexdigest()


def _open(config: Config, settings: Settings) -> "list[SourceReader]":
    from tasks.adapters.sources.reader import ReadLimits
    from tasks.adapters.sources.registry import open_source

    limits = ReadLimits(config.max_record_bytes, settings.s3_endpoint_url)
    return [open_source(source, limits) for source in config.sources]


def _refuse_bad_quarantine(tallies: Sequence[Tally], config: Config, kept: Path) -> None:
    refused = sum(tally.quarantined for tally in tallies)
    seen = refused + sum(tally.count + tally.skipped for tally in tallies)
    if refused <= config.max_quarantined * seen:
        return
    reasons = ", ".join(f"{count} {reason}" for reason, count in _reasons(tallies).most_common())
    raise DataError(
        f"{refused} of {seen} records cannot be read ({reasons}), more than max_quarantined={config.max_quarantined} "
        f"allows: look at {kept}."
    )


def _refuse_empty(tallies: Sequence[Tally], config: Config, readers: "Sequence[SourceReader]") -> None:
    """A source without a record is a mistake, unless its kind may be empty."""
    for source, reader, tally in zip(config.sources, readers, tallies, strict=True):
        if tally.count == 0 and not reader.may_be_empty:
            raise DataError(
                f"Source {describe(source)} holds no document or conversation: add some or remove it from `sources`."
            )


def _entry(source: Source, reader: "SourceReader", tally: Tally) -> dict[str, str | int]:
    return {
        "adapter": source.kind,
        "uri": source.uri,
        "licence": reader.licence(),
        "count": tally.count,
        "documents": tally.documents,
        "conversations": tally.conversations,
        "quarantined": tally.quarantined,
        "digest": tally.digest,
    }


def _report(zone: RawZone, entries: list[dict[str, str | int]]) -> IngestReport:
    tallies = zone.tallies
    reasons = _reasons(tallies)
    kinds: Counter[str] = sum((tally.kinds for tally in tallies), Counter())
    return IngestReport(
        documents=sum(tally.documents for tally in tallies),
        families=zone.num_families(),
        conversations=sum(tally.conversations for tally in tallies),
        unanswerable=sum(tally.unanswerable for tally in tallies),
        held_out=sum(tally.held_out for tally in tallies),
        kinds=dict(sorted(kinds.items())),
        quarantined=reasons.total(),
        reasons=dict(sorted(reasons.items())),
        skipped=sum(tally.skipped for tally in tallies),
        sources=entries,
    )


def _reasons(tallies: Sequence[Tally]) -> Counter[str]:
    return sum((tally.reasons for tally in tallies), Counter())
