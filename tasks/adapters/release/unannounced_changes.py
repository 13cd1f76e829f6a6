"""What the ledger says about who serves and nobody was told yet.

Reads the ledger from the entry that was last told, and keeps that number as `told.json` in the store: there it outlives
a checkout. Whoever is to tell moves the number first, by compare-and-swap, so that of several who look at once one
tells. Caveat: who is killed between that and the telling leaves it untold; the ledger itself lacks nothing.
"""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.adapters.release.ledger import Ledger
from tasks.adapters.storage.object_store import Store
from tasks.core.digests import canonical
from tasks.core.errors import DataError
from tasks.core.release.champion_changes import ChampionNews, cause_number, champion_news
from tasks.core.release.ledger import Entry

KEY = "told.json"


class Told(BaseModel):
    """How far the ledger was told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int = 0
    """Of the last entry."""


@dataclass(frozen=True)
class Untold:
    """The news since the last entry that was told."""

    news: list[ChampionNews]
    position: bytes | None
    """As the store holds it."""
    since: int
    """Number of the entry that was told last."""
    upto: int
    """Number of the newest entry."""


def read_untold(store: Store) -> Untold:
    """Return what was not told yet. Raises DataError for a damaged ledger or position."""
    position, ledger = store.get(KEY), Ledger(store)
    number = _parse(store, position).number
    entries = list(ledger.after(number))
    found = (champion_news(entry, _cause(ledger, entry)) for entry in entries)
    upto = entries[-1].number if entries else number
    return Untold([news for news in found if news], position, number, upto)


def claim(store: Store, untold: Untold) -> bool:
    """Return whether it is the caller's to tell this news; False where another one has taken some of it."""
    if untold.upto == untold.since:
        return True
    return store.compare_and_swap(KEY, untold.position, canonical(Told(number=untold.upto).model_dump()))


def _cause(ledger: Ledger, entry: Entry) -> Entry | None:
    number = cause_number(entry)
    return None if number is None else ledger.read(number)


def _parse(store: Store, position: bytes | None) -> Told:
    try:
        return Told() if position is None else Told.model_validate_json(position)
    except ValidationError:
        raise DataError(
            f"{store.address}/{KEY} is damaged: delete it, and everything in the ledger is told again."
        ) from None
