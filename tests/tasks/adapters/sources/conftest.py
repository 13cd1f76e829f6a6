"""A raw zone to write to, and what came of it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tasks.adapters.sources.listing import list_files
from tasks.adapters.sources.raw_zone import RawZone, open_raw_zone
from tasks.adapters.sources.source_file import SourceFile
from tasks.adapters.storage.tables import read_batches


@dataclass
class Outcome:
    """The files of a raw zone, read back."""

    folder: Path

    def _rows(self, name: str) -> list[dict[str, Any]]:
        return [row for batch in read_batches(self.folder / name) for row in batch.to_dicts()]

    @property
    def documents(self) -> list[dict[str, Any]]:
        return self._rows("documents.parquet")

    @property
    def conversations(self) -> list[dict[str, Any]]:
        return self._rows("conversations.parquet")

    @property
    def quarantine(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "quarantine.jsonl").read_text().splitlines()]

    @property
    def reasons(self) -> list[str]:
        return [entry["reason"] for entry in self.quarantine]


@pytest.fixture
def outcome(tmp_path: Path) -> Outcome:
    folder = tmp_path / "raw"
    folder.mkdir()
    return Outcome(folder)


@pytest.fixture
def raw_zone(outcome: Outcome) -> Callable[[], Any]:
    """Open a raw zone whose first source has begun."""

    @contextmanager
    def opened() -> Iterator[RawZone]:
        with open_raw_zone(outcome.folder) as zone:
            zone.begin_source()
            yield zone

    return opened


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], SourceFile]:
    """Write a file below `source/` and return it as a source file."""

    def written(name: str, content: str | bytes) -> SourceFile:
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return list_files([str(path)], {path.suffix}, None)[0]

    return written
