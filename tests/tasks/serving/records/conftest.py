"""Where a recorder writes in these tests, its clock, and waiting for its threads."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.adapters.records.answer_log import read_records
from tasks.adapters.records.record_place import RecordPlace
from tasks.adapters.storage.object_store import FolderStore

TEN = datetime(2026, 5, 1, 10, 20, tzinfo=UTC)


DAY = timedelta(days=1)


PROMISED_S = 1.0


@pytest.fixture
def place(tmp_path: Path) -> RecordPlace:
    return RecordPlace(tmp_path / "journal", FolderStore(tmp_path / "records"))


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = TEN

    def __call__(self) -> datetime:
        return self.now


def until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    """Wait for a background thread to get there."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def recorded_ids(place: RecordPlace) -> list[str]:
    return read_records(place, TEN - DAY, TEN + DAY)["answer_id"].to_list()
