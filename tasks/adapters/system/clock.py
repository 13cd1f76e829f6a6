"""Give the present time as text. The core takes times as arguments and never reads a clock."""

from datetime import UTC, datetime


def now_text() -> str:
    """Return the present time as documents hold it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
