"""What an entry of the ledger says about who serves: a version became the champion, or one was taken back. Pure.

Every move is an entry, whoever made it: the gate, a gateway that ends a canary or refuses a version, a person. A move
of the champion pointer rests on the entry that caused it. Two things are told without a move: a rollout that was rolled
back, for its candidate served too, and a first champion that no gateway could bring to serve.
"""

from dataclasses import dataclass
from functools import partial

from tasks.core.release.ledger import Entry
from tasks.core.release.ledger_entries import Rollback, RolloutStep
from tasks.core.release.lineage import BASE, Pointer, VerdictFacts


@dataclass(frozen=True)
class ChampionChange:
    """A version serves in the place of another one."""

    model: str
    """What serves from now on: a digest, or "base"."""
    left: str | None
    """What it replaces; None: the base model."""
    is_rollback: bool
    reason: str
    by: str
    at: str
    entry: int
    """Number of the ledger's entry."""


def cause_number(entry: Entry) -> int | None:
    """Return the number of the entry that a move of the champion pointer rests on; None for any other entry."""
    match entry.facts:
        case Pointer(name="champion") as pointer:
            return pointer.entry_number
    return None


def champion_change(entry: Entry, cause: Entry | None) -> ChampionChange | None:
    """Return the change that the entry made, None for none. `cause`: the entry that `cause_number` names."""
    change = partial(ChampionChange, at=entry.at, entry=entry.number)
    match entry.facts:
        case Pointer(name="champion") as moved if cause is not None:
            is_rollback = isinstance(cause.facts, Rollback)
            return change(moved.model, moved.previous, is_rollback=is_rollback, reason=_reason(cause), by=moved.by)
        case Rollback(to=None) as back:
            return change(BASE, back.left, is_rollback=True, reason=back.reason, by=back.by)
        case RolloutStep(what="rolled_back") as step:
            return change(step.champion or BASE, step.candidate, is_rollback=True, reason=step.reason, by=step.by)
    return None


def _reason(cause: Entry) -> str:
    match cause.facts:
        case VerdictFacts():
            return "the gate promoted it"
        case Rollback(reason=reason) | RolloutStep(reason=reason):
            return reason
    return ""
