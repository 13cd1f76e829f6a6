"""A file or object that a source names, wherever it lies."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file or object to read."""

    uri: str
    """Its name in records: the folder's own name and the path below it, or the s3:// address."""
    relative: str
    """Its path below the folder that the source names."""
    size: int
    version: str
    """Changes when the content does: modification time in nanoseconds, or an entity tag."""
    modified_at: float
    """Seconds since the epoch."""
    open: Callable[[], AbstractContextManager[BinaryIO]]
    path: str | None
    """Where it lies, if on this machine."""

    @property
    def suffix(self) -> str:
        """Ending with its dot, in lower case."""
        return os.path.splitext(self.relative)[1].lower()  # noqa: PTH122 (asked four times a file; pathlib takes 20 us)

    @property
    def place(self) -> str:
        """Its full address, for whoever has to find it."""
        return self.path or self.uri

    @property
    def seen_at(self) -> str:
        return iso_time(self.modified_at)


def iso_time(seconds: float) -> str:
    """Return a moment as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
