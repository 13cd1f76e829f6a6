"""Finds the newest drift verdict and its HTML pages below some folders, for the dashboard and `ratchet status`.

Reads `verdict.json`, a `DriftVerdict`; its pages lie beside it. A folder without one means that nothing was monitored
yet, which is not the same as no drift.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from tasks.core.monitoring.drift_verdict import Outcome

VERDICT = "verdict.json"
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


@dataclass(frozen=True)
class LastDrift:
    """The newest verdict on drift."""

    outcome: Outcome
    headline: str
    reasons: tuple[str, ...]
    rows: tuple[int, int]
    """Number of compared rows: reference, window."""
    at: datetime
    folder: Path
    pages: tuple[str, ...]
    """Names of the HTML pages in the folder."""


def monitor_folders(home: Path, data: Path) -> tuple[Path, ...]:
    """Return where monitor runs leave their files."""
    return (home / "monitor", data / "drift", data / "monitor")


def last_drift(folders: Iterable[Path]) -> LastDrift | None:
    """Return the newest verdict below the folders that can be read, or None."""
    found = [(path.stat().st_mtime, path) for folder in folders for path in folder.rglob(VERDICT) if path.is_file()]
    for written, path in sorted(found, reverse=True):
        verdict = _read(path, datetime.fromtimestamp(written, UTC))
        if verdict is not None:
            return verdict
    return None


def _read(path: Path, at: datetime) -> LastDrift | None:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        outcome = next(known for known in OUTCOMES if known == said["outcome"])
        reference, window = said["rows"]
        return LastDrift(
            outcome=outcome,
            headline=str(said["headline"]),
            reasons=tuple(map(str, said["reasons"])),
            rows=(int(reference), int(window)),
            at=at,
            folder=path.parent,
            pages=tuple(sorted(page.name for page in path.parent.glob("*.html"))),
        )
    except (OSError, ValueError, KeyError, TypeError, StopIteration):  # half written, or by another program
        return None
