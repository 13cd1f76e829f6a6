"""The present time; the core is told it and never asks."""

from datetime import UTC, datetime


def now_text() -> str:
    """Return the present time as documents hold it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
