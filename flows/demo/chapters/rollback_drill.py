"""Chapter 8: an operator rolls back to the version before, and forward again, and the ledger has both."""

import time

from flows.commands.status import ledger_lines
from flows.demo.telling import Telling
from flows.demo.waiting import TurnedOutOtherwiseError
from tasks.core.digests import short

NUM_ENTRIES = 7


def tell(telling: Telling, champion: str, before: str) -> None:
    """Raises TurnedOutOtherwiseError where a rollback leaves another champion."""
    with telling.chapter("A rollback drill") as chapter:
        for to, reason in ((before, "a drill"), (champion, "the drill is over")):
            begun = time.monotonic()
            change = telling.sandbox.ratchet_json("rollback", "--to", to, "--reason", reason)
            chapter.add(f"{change['sentence']} (the command took {time.monotonic() - begun:.1f} s in all)")
            if change["champion"] != to:
                raise TurnedOutOtherwiseError(f"After the rollback {short(change['champion'])} is the champion.")
        ledger = telling.sandbox.registry().ledger.entries()
        chapter.add(f"The ledger has {len(list(ledger))} entries; these are its last:")
        entries = telling.sandbox.ratchet_json("status")["ledger"][:NUM_ENTRIES]
        chapter.add(*(f"  {line}" for line in ledger_lines(entries)))
