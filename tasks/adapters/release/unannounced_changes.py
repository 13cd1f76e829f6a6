"""Changes of the champion in the ledger that were not announced yet.

Reads the ledger from the entry announced last; that number is kept as `told.json` in the store, where it outlives a
checkout. Whoever announces moves the number first, by compare-and-swap, so that of several at once one announces.
Caveat: a process that is killed in between leaves the change unannounced; the ledger itself lacks nothing.
"""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.adapters.release.ledger import Ledger
from tasks.adapters.storage.object_store import Store
from tasks.core.digests import canonical
from tasks.core.errors import DataError
from tasks.core.release.champion_changes import ChampionChange, cause_number, champion_change
from tasks.core.release.ledger import Entry

KEY = "told.json"


class Announced(BaseModel):
    """How far the ledger was announced."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int = 0
    """Of the last entry."""


@dataclass(frozen=True)
class Unannounced:
    """The changes since the entry that was announced last."""

    changes: list[ChampionChange]
    position: bytes | None
    """As the store holds it."""
    since: int
    """Number of the entry that was announced last."""
    upto: int
    """Number of the newest entry."""


def read_unannounced(store: Store) -> Unannounced:
    """Return what was not announced yet. Raises DataError for a damaged ledger or position."""
    position, ledger = store.get(KEY), Ledger(store)
    number = _parse(store, position).number
    entries = list(ledger.after(number))
    found = (champion_change(entry, _cause(ledger, entry)) for entry in entries)
    upto = entries[-1].number if entries else number
    return Unannounced([change for change in found if change], position, number, upto)


def claim(store: Store, unannounced: Unannounced) -> bool:
    """Return whether the caller is to announce these changes; False where another one has taken some of them."""
    if unannounced.upto == unannounced.since:
        return True
    return store.compare_and_swap(KEY, unannounced.position, canonical(Announced(number=unannounced.upto).model_dump()))


def _cause(ledger: Ledger, entry: Entry) -> Entry | None:
    number = cause_number(entry)
    return None if number is None else ledger.read(number)


def _parse(store: Store, position: bytes | None) -> Announced:
    try:
        return Announced() if position is None else Announced.model_validate_json(position)
    except ValidationError:
        raise DataError(
            f"{store.address}/{KEY} is damaged: delete it, and everything in the ledger is told again."
        ) from None
