"""The ledger in the store: append once, find again, verify all.

Writes `ledger/00000001.json` and so on, each by put-if-absent, and `ledger-keys/<sha256 of the key>` that says which
number a key has. Whoever appends first makes sure that the newest entry's key is filed, so that only the newest entry
of a killed run can lack it, a lookup costs two reads, and what was left half done is completed by the next (the
"helping" of lock-free data structures, Herlihy 1991).
"""

import hashlib
import logging
from collections.abc import Iterator

from tasks.adapters.storage.object_store import Store
from tasks.core.errors import DataError, ExternalError
from tasks.core.release.ledger import Entry, first_break, next_entry, number_of, object_name, parse
from tasks.core.release.ledger_entries import Content

logger = logging.getLogger(__name__)

MAX_TRIES = 200


class Ledger:
    """The append-only record of runs, verdicts and pointer moves of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def append(self, facts: Content, key: str, *, at: str) -> Entry:
        """Return the entry with `key`, written now unless some run, perhaps this one before it was killed, already did.

        Raises ExternalError where others append faster than this process for very long.
        """
        for _ in range(MAX_TRIES):
            newest = self.newest()
            self._file(newest)
            found = self._lookup(key)
            if found is not None:
                return found
            entry = next_entry(newest, facts, key=key, at=at)
            if self.store.put_if_absent(object_name(entry.number), entry.to_bytes()):
                self._file(entry)
                logger.info("ledger entry %d: %s", entry.number, entry.kind)
                return entry
        raise ExternalError(f"The ledger of {self.store.address} was busy {MAX_TRIES} times in a row: run again.")

    def find(self, key: str) -> Entry | None:
        """Return the entry with `key`, or None."""
        self._file(self.newest())
        return self._lookup(key)

    def newest(self) -> Entry | None:
        """Return the entry with the highest number, or None for an empty ledger."""
        number = max(self._numbers(), default=0)
        return self.read(number) if number else None

    def read(self, number: int) -> Entry:
        """Return entry `number`. Raises DataError where it is missing or damaged."""
        return self._parse(number, self.store.get(object_name(number)) or b"")

    def after(self, number: int) -> Iterator[Entry]:
        """Yield the entries that follow entry `number`, in order, at the cost of a read each and one more."""
        while (data := self.store.get(object_name(number + 1))) is not None:
            number += 1
            yield self._parse(number, data)

    def entries(self) -> list[Entry]:
        """Return every entry in order."""
        return [self.read(number) for number in sorted(self._numbers())]

    def broken(self) -> str | None:
        """Return a sentence that names the first broken entry, or None for a chain that is whole."""
        names = [object_name(number) for number in sorted(self._numbers())]
        return first_break((name, self.store.get(name)) for name in names)

    def verify(self) -> int:
        """Return how many entries the whole chain has. Raises DataError that names the first broken one."""
        sentence = self.broken()
        if sentence:
            raise DataError(f"{sentence} Restore the ledger of {self.store.address} from a backup.")
        return len(self._numbers())

    def _parse(self, number: int, data: bytes) -> Entry:
        try:
            return parse(data)
        except ValueError as error:
            raise DataError(
                f"{self.store.address}/{object_name(number)} {error}: restore it from a backup of the store."
            ) from None

    def _numbers(self) -> list[int]:
        return [number for number in map(number_of, self.store.list("ledger/")) if number]

    def _file(self, entry: Entry | None) -> None:
        if entry is not None:
            self.store.put_if_absent(_key_name(entry.key), str(entry.number).encode())

    def _lookup(self, key: str) -> Entry | None:
        number = self.store.get(_key_name(key))
        return self.read(int(number)) if number else None


def _key_name(key: str) -> str:
    return f"ledger-keys/{hashlib.sha256(key.encode()).hexdigest()}"
