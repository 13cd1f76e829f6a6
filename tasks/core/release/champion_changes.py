"""What an entry of the ledger says about who serves: a version became the champion, or one was taken back. Pure.

Every move is an entry, whoever made it: the gate, a gateway that ends a canary or refuses a version, a person. A move
of the champion pointer rests on the entry that caused it. Two things are told without a move: a rollout that was rolled
back, for its candidate served too, and a first champion that no gateway could bring to serve.
"""

from dataclasses import dataclass

from tasks.core.release.ledger import Entry
from tasks.core.release.lineage import BASE, Pointer


@dataclass(frozen=True)
class ChampionNews:
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
    if entry.kind != "pointer" or entry.content.get("name") != "champion":
        return None
    return Pointer.model_validate(entry.content).entry_number


def champion_news(entry: Entry, cause: Entry | None) -> ChampionNews | None:
    """Return what the entry tells, None where it moved nobody. `cause`: the entry that `cause_number` names."""
    said = entry.content
    if cause is not None:
        pointer = Pointer.model_validate(said)
        is_rollback = cause.kind == "rollback"
        reason = "the gate promoted it" if cause.kind == "verdict" else str(cause.content.get("reason", ""))
        return _news(entry, pointer.model, pointer.previous, reason, is_rollback=is_rollback, by=pointer.by)
    if entry.kind == "rollback" and said["to"] is None:
        return _taken_back(entry, said["from"], None)
    if entry.kind == "rollout" and said["what"] == "rolled_back":
        return _taken_back(entry, said["candidate"], said["champion"])
    return None


def _taken_back(entry: Entry, left: object, model: object) -> ChampionNews:
    said = entry.content
    return _news(entry, str(model or BASE), str(left), str(said["reason"]), is_rollback=True, by=str(said["by"]))


def _news(entry: Entry, model: str, left: str | None, reason: str, *, is_rollback: bool, by: str) -> ChampionNews:
    return ChampionNews(model, left, is_rollback, reason, by, entry.at, entry.number)
