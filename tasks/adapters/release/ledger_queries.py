"""What the ledger knows about a model version: its newest verdict, the run behind it, and earlier looks at its items.

Reads the ledger from its newest entry back, so that recent questions are cheap however long the ledger is.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tasks.adapters.release.ledger import Ledger
from tasks.core.errors import DataError
from tasks.core.release.ledger import Entry
from tasks.core.release.lineage import Pointer, RunFacts, VerdictFacts


@dataclass(frozen=True)
class Recorded:
    """A verdict with its ledger entry."""

    entry: Entry
    facts: VerdictFacts


def newest_first(ledger: Ledger) -> Iterator[Entry]:
    """Yield the entries from the newest back to the first."""
    newest = ledger.newest()
    for number in range(newest.number if newest else 0, 0, -1):
        yield ledger.read(number)


def verdicts(ledger: Ledger) -> Iterator[Recorded]:
    """Yield the verdicts, newest first."""
    for entry in newest_first(ledger):
        if isinstance(entry.facts, VerdictFacts):
            yield Recorded(entry, entry.facts)


def verdict_on(ledger: Ledger, model: str) -> Recorded | None:
    """Return the newest verdict on a version, or None."""
    return next((found for found in verdicts(ledger) if found.facts.candidate == model), None)


def run_behind(ledger: Ledger, facts: VerdictFacts) -> RunFacts:
    """Return the run that a verdict names."""
    run = ledger.read(facts.run_number).facts
    if not isinstance(run, RunFacts):
        raise DataError(
            f"Ledger entry {facts.run_number} is no run, as a verdict says: restore the ledger from a backup."
        )
    return run


def run_of(ledger: Ledger, model: str) -> RunFacts | None:
    """Return the newest run that made or measured a version, or None."""
    for entry in newest_first(ledger):
        if isinstance(entry.facts, RunFacts) and entry.facts.candidate == model:
            return entry.facts
    return None


def earlier_looks(ledger: Ledger, items: str) -> int:
    """Return how many verdicts rest on the evaluation items with this digest."""
    return next((found.facts.looks for found in verdicts(ledger) if found.facts.items == items), 0)


def champion_moves(ledger: Ledger) -> Iterator[tuple[str, str | None, bool]]:
    """Yield each move of the champion pointer, newest first: to which version, from which, and whether it went back."""
    for entry in newest_first(ledger):
        match entry.facts:
            case Pointer(name="champion") as pointer:
                cause = ledger.read(pointer.entry_number)
                yield pointer.model, pointer.previous, cause.kind == "rollback"
