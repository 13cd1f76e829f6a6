"""Locations and file names of answer records: journals in a local folder, Parquet files in a store.

A journal is `2026-05-01T10-3f9a2c1d.jsonl`: the hour (UTC) in which it was written, and a random part of its writer.
Its Parquet file has the same name, below its day: `2026-05-01/2026-05-01T10-3f9a2c1d.parquet`.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from tasks.adapters.storage.object_store import Store, open_store

JOURNALS = "journal"  # below a checkout's `home`
HOUR = "%Y-%m-%dT%H"
STEM = re.compile(r"(?P<hour>(?P<day>\d{4}-\d\d-\d\d)T\d\d)-[0-9a-f]{8}")
JOURNAL, PARQUET = ".jsonl", ".parquet"


@dataclass(frozen=True)
class RecordPlace:
    """Where records lie: open journals in a local folder, finished hours in a store."""

    journals: Path
    store: Store


class RecordSettings(Protocol):
    """What of a checkout's settings says where its records lie."""

    @property
    def home(self) -> Path: ...

    @property
    def records_url(self) -> str: ...

    @property
    def s3_endpoint_url(self) -> str | None: ...


def open_records(settings: RecordSettings) -> RecordPlace:
    """Return where a checkout keeps its records; `records_url` is a folder or s3://bucket/prefix."""
    return RecordPlace(settings.home / JOURNALS, open_store(settings.records_url, settings.s3_endpoint_url))


def start_of_hour(moment: datetime) -> datetime:
    """Return the full hour before `moment`, in UTC."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def table_key(stem: str) -> str:
    """Return the key in the store of the Parquet file of that name."""
    match = STEM.fullmatch(stem)
    assert match is not None
    return f"{match['day']}/{stem}{PARQUET}"
