"""The ledger's chain: what an entry is, how it binds to the one before, and where a chain is broken.

An entry's digest covers its number, time, content and the digest of the entry before, so that changing, removing or
inserting one breaks every later link (Haber & Stornetta 1991, "How to time-stamp a digital document"). Caveat: a chain
cannot show that its newest entries were cut off; pointers name the entry they rest on, and the registry compares.
"""

import hashlib
from collections.abc import Iterable
from functools import cached_property

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.core.digests import canonical
from tasks.core.release.ledger_entries import Content, Kind, Unknown, from_json, kind_of, to_json

SCHEMA_VERSION = 1
NO_ENTRY = "0" * 64  # what the first entry names as the one before it


class Entry(BaseModel):
    """One line of the ledger."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    number: int
    kind: Kind
    key: str
    """What the entry is about: at most one entry has it, however often a killed run is repeated."""
    at: str
    """ISO 8601 time, passed in by whoever appends."""
    previous: str
    content: dict[str, object]
    """As it is stored; `facts` has it as a type."""

    @cached_property
    def facts(self) -> Content | Unknown:
        """What the entry says, as the class of its kind; `Unknown` where it is nothing that this release knows."""
        return from_json(self.kind, self.content)

    def to_bytes(self) -> bytes:
        """Return the stored form: the same entry is always the same bytes."""
        return canonical(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.to_bytes()).hexdigest()


def object_name(number: int) -> str:
    """Return the store's key of entry `number`, counted from 1."""
    return f"ledger/{number:08d}.json"


def number_of(name: str) -> int:
    """Return the number in a store's key; 0 for a key that is no entry."""
    stem = name.removeprefix("ledger/").removesuffix(".json")
    return int(stem) if stem.isdecimal() and object_name(int(stem)) == name else 0


def next_entry(before: Entry | None, facts: Content, *, key: str, at: str) -> Entry:
    """Return the entry that follows `before` (None: the first)."""
    return Entry(
        number=before.number + 1 if before else 1,
        kind=kind_of(facts),
        key=key,
        at=at,
        previous=before.digest if before else NO_ENTRY,
        content=to_json(facts),
    )


def parse(data: bytes) -> Entry:
    """Return the entry stored as `data`. Raises ValueError for anything else, also for a reordered copy."""
    try:
        entry = Entry.model_validate_json(data)
    except ValidationError as error:
        raise ValueError(f"is no ledger entry: {error.errors()[0]['msg']}") from None
    if entry.to_bytes() != data:
        raise ValueError("is not in the form in which entries are written")
    return entry


def first_break(stored: Iterable[tuple[str, bytes | None]]) -> str | None:
    """Return a sentence that names the first broken of (key, content) pairs in order, or None for a whole chain."""
    before: Entry | None = None
    for position, (name, data) in enumerate(stored, start=1):
        expected = object_name(position)
        if name != expected or data is None:
            return f"Ledger entry {expected} is missing; the chain is broken there."
        try:
            entry = parse(data)
        except ValueError as error:
            return f"Ledger entry {name} {error}; the chain is broken there."
        if entry.number != position:
            return f"Ledger entry {name} says it is number {entry.number}; the chain is broken there."
        if entry.previous != (before.digest if before else NO_ENTRY):
            return f"Ledger entry {name} does not follow from the entry before it; one of the two was changed."
        before = entry
    return None
