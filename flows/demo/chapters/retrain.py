"""Chapter 4: the retrain ends, and the gate promotes its candidate."""

from uuid import UUID

from flows.demo.telling import Telling
from flows.demo.waiting import TurnedOutOtherwiseError
from tasks.core.digests import short

RETRAIN_S = 3600.0


def tell(telling: Telling, run: UUID, champion: str) -> str:
    """Return the candidate's digest. Raises TurnedOutOtherwiseError where the gate does not promote it."""
    with telling.chapter("The retrain") as chapter:
        telling.runs.await_end(run, RETRAIN_S)
        verdict = telling.verdict()
        candidate = str(verdict["candidate"])
        chapter.add(f"{short(candidate)} against {short(champion)}: {verdict['outcome']}.")
        chapter.add(str(verdict["headline"]), *map(str, verdict["reasons"]))
        note = telling.sandbox.root / "data/promote/release_note.html"
        chapter.links["release note"] = telling.keep(note, "release_note.html")
        if verdict["outcome"] != "PROMOTE":
            raise TurnedOutOtherwiseError(f"The gate says {verdict['outcome']} on the new candidate.")
        return candidate
