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

from pydantic import Field

from tasks.adapters.sources.raw_zone import QUARANTINE, RawZone, Tally, open_raw_zone
from tasks.adapters.storage.files import write_json
from tasks.core.errors import ConfigError, DataError
from tasks.core.records.schema import SCHEMA_VERSION
from tasks.core.sources.kinds import (
    FeedbackRecords,
    Files,
    PackageReference,
    PythonReference,
    Source,
    describe,
)
from tasks.core.stage import Report, StageConfig
from tasks.settings import Settings

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
    with open_raw_zone(out) as zone:
        for source in config.sources:
            zone.begin_source()
            logger.info("reading %s", describe(source))
            _read(source, config, zone, settings.s3_endpoint_url)
    _refuse_bad_quarantine(zone.tallies, config, out.with_name(f"{out.stem}.failed") / QUARANTINE)
    _refuse_empty(zone.tallies, config)
    entries = [_entry(source, tally) for source, tally in zip(config.sources, zone.tallies, strict=True)]
    write_json(out / MANIFEST, {"schema": SCHEMA_VERSION, "fingerprint": fingerprint, "sources": entries})
    return _report(zone, entries)


def source_fingerprint(config: Config, settings: Settings) -> str:
    """Return a digest that differs from the manifest's `fingerprint` when a source or the configuration changed.

    Cheap: it lists and looks at sizes, times and versions, and reads files only while they are few.
    """
    states = [[source.model_dump_json(), _state(source, settings.s3_endpoint_url)] for source in config.sources]
    limits = config.model_dump(mode="json", exclude={"sources"})
    return hashlib.sha256(json.dumps([SCHEMA_VERSION, limits, states], sort_keys=True).encode()).hexdigest()


def _state(source: Source, endpoint_url: str | None) -> str:
    from tasks.adapters.sources import documents, installed, listing

    if isinstance(source, PythonReference):
        return installed.python_edition().version
    if isinstance(source, PackageReference):
        return " ".join(installed.package_edition(package).version for package in source.packages)
    if isinstance(source, FeedbackRecords):
        return listing.fingerprint(listing.list_files([source.path], {documents.JSONL}, endpoint_url))
    found = listing.list_files(source.documents, documents.DOCUMENT_SUFFIXES, endpoint_url)
    found += listing.list_files(source.conversations, documents.RECORD_SUFFIXES, endpoint_url)
    return listing.fingerprint(found)


def _read(source: Source, config: Config, zone: RawZone, endpoint_url: str | None) -> None:
    if isinstance(source, Files):
        _read_files(source, config, zone, endpoint_url)
    elif isinstance(source, FeedbackRecords):
        _read_feedback(source, config, zone, endpoint_url)
    else:
        _read_reference(source, zone)


def _read_reference(source: PythonReference | PackageReference, zone: RawZone) -> None:
    from tasks.adapters.sources import installed, modules
    from tasks.adapters.sources.python_reference import Limits, language_topics, read_reference
    from tasks.adapters.sources.reference_records import QuestionLimits, write_reference

    limits = Limits(source.max_per_module, source.max_document_chars)
    questions = QuestionLimits(source.max_conversations, source.unanswerable_share, source.held_out_share)
    if isinstance(source, PythonReference):
        topics = {} if source.include else language_topics()
        corpus = read_reference(source.kind, modules.standard_library(), source.is_wanted, limits, topics)
        write_reference(zone, source.kind, corpus, installed.python_edition(), questions)
        return
    for package in source.packages:
        corpus = read_reference(source.kind, [package], source.is_wanted, limits, {})
        write_reference(zone, source.kind, corpus, installed.package_edition(package), questions)


def _read_files(source: Files, config: Config, zone: RawZone, endpoint_url: str | None) -> None:
    from tasks.adapters.sources.conversations import read_conversations
    from tasks.adapters.sources.documents import DOCUMENT_SUFFIXES, RECORD_SUFFIXES, Terms, read_documents
    from tasks.adapters.sources.listing import list_files

    if not source.documents and not source.conversations:
        raise ConfigError("A source of kind files names no documents and no conversations: add paths to `sources`.")
    terms = Terms(source.licence, config.max_record_bytes)
    known = read_documents(list_files(source.documents, DOCUMENT_SUFFIXES, endpoint_url), zone, terms)
    read_conversations(list_files(source.conversations, RECORD_SUFFIXES, endpoint_url), zone, terms, known)


def _read_feedback(source: FeedbackRecords, config: Config, zone: RawZone, endpoint_url: str | None) -> None:
    from tasks.adapters.sources.documents import JSONL, Terms
    from tasks.adapters.sources.feedback import read_feedback
    from tasks.adapters.sources.listing import list_files

    files = list_files([source.path], {JSONL}, endpoint_url)
    terms = Terms(source.licence, config.max_record_bytes)
    read_feedback(files, zone, terms, require_review=source.require_review)


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


def _refuse_empty(tallies: Sequence[Tally], config: Config) -> None:
    """A source without a record is a mistake, except feedback: nobody may have corrected anything yet."""
    for source, tally in zip(config.sources, tallies, strict=True):
        if tally.count == 0 and not isinstance(source, FeedbackRecords):
            raise DataError(
                f"Source {describe(source)} holds no document or conversation: add some or remove it from `sources`."
            )


def _entry(source: Source, tally: Tally) -> dict[str, str | int]:
    return {
        "adapter": source.kind,
        "uri": source.uri,
        "licence": _licence(source),
        "count": tally.count,
        "documents": tally.documents,
        "conversations": tally.conversations,
        "quarantined": tally.quarantined,
        "digest": tally.digest,
    }


def _licence(source: Source) -> str:
    from tasks.adapters.sources.installed import PYTHON_LICENCE, package_edition

    if isinstance(source, PythonReference):
        return PYTHON_LICENCE
    if isinstance(source, PackageReference):
        return ", ".join(dict.fromkeys(package_edition(package).licence for package in source.packages))
    return source.licence


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
