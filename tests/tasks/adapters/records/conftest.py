"""Where records lie in these tests, and answers written there as a gateway writes them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tasks.adapters.records.answer_log import read_records
from tasks.adapters.records.journal import Journal, line_of
from tasks.adapters.records.record_place import RecordPlace
from tasks.adapters.storage.object_store import FolderStore, Store
from tasks.core.records.answer import AnswerRecord
from tests.tasks.answers import answer

TEN = datetime(2026, 5, 1, 10, 20, tzinfo=UTC)


HOUR = timedelta(hours=1)


@pytest.fixture
def place(tmp_path: Path) -> RecordPlace:
    return RecordPlace(tmp_path / "journal", FolderStore(tmp_path / "records"))


@pytest.fixture
def any_place(store: Store, tmp_path: Path) -> RecordPlace:
    """With a folder and with a bucket."""
    return RecordPlace(tmp_path / "journal", store)


def at(minutes: float, name: str, **changes: Any) -> AnswerRecord:
    return answer(name, at=(TEN + timedelta(minutes=minutes)).isoformat(), **changes)


def write(place: RecordPlace, hour: datetime, *answers: AnswerRecord) -> Path:
    """Write a journal and let go of it."""
    journal = Journal(place.journals, hour)
    journal.append(b"".join(map(line_of, answers)))
    journal.close()
    return journal.path


def ids(place: RecordPlace, since: datetime, until: datetime) -> list[str]:
    return read_records(place, since, until)["answer_id"].to_list()
