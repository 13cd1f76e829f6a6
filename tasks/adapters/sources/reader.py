"""What every kind of source can do: say whether it changed, under which licence it is, and read its records."""

from dataclasses import dataclass
from typing import Protocol

from tasks.adapters.sources.raw_zone import RawZone


class SourceReader(Protocol):
    """One source, opened. Opening it reads nothing.

    A new kind is a config in `tasks/core/sources/kinds.py`, a class like this in a module of its own, and a line in
    `tasks/adapters/sources/registry.py`.
    """

    @property
    def may_be_empty(self) -> bool:
        """Whether a source without a record is no mistake."""

    def fingerprint(self) -> str:
        """Return a text that differs when the source changed. Cheap: sizes, times and versions, no content of size.

        Raises ConfigError or ExternalError naming what is not there.
        """

    def licence(self) -> str:
        """Return the SPDX identifier of the source's content, or "unknown"."""

    def read(self, zone: RawZone) -> None:
        """Add every record to the raw zone. What cannot be read is refused there, what is left out is counted there.

        Raises ConfigError, DataError or ExternalError naming the source.
        """


@dataclass(frozen=True)
class ReadLimits:
    """What holds for the sources of a run, whatever their kind."""

    max_record_bytes: int
    """A longer line or file is refused."""
    endpoint_url: str | None
    """Of the S3 server; None: Amazon's."""
