"""Run the retrain flow, or a look of the monitor, here and now, and say in a few lines how it ended."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from flows.server import prefect_api
from flows.session import Request
from tasks.adapters.storage.json_files import read_object
from tasks.core.digests import short
from tasks.core.release.verdict import Verdict, lines
from tasks.settings import Settings


def retrain_once(request: Request) -> str:
    """Run the flow once against the configured Prefect API or a private one, and return its summary.

    Raises RatchetError, with the failing stage's own sentence.
    """
    settings = Settings()
    with prefect_api(settings.home):
        from flows.retrain import retrain  # after the API is known: flows read it when they start

        outcomes = retrain(request)
    return summary(outcomes, settings.data / request.folder if request.folder else settings.data)


def look_once(model: str | None, since: datetime | None, until: datetime | None) -> list[str]:
    """Run the monitor's flow once against the configured Prefect API or a private one, and return what it says.

    Raises RatchetError, with the failing stage's own sentence.
    """
    with prefect_api(Settings().home):
        from flows.monitor import Look, monitor

        return monitor(Look(model=model, since=since, until=until))


def summary(outcomes: Mapping[str, str], data: Path) -> str:
    """Return what a person at a terminal wants to know: what ran, the verdict in numbers, where to read on."""
    ran = [name for name, outcome in outcomes.items() if outcome != "unchanged"]
    head = f"Ran {', '.join(ran)}." if ran else "Nothing changed: no stage ran and no pointer moved."
    facts = read_object(data / "promote" / "verdict.json")
    candidate, champion = facts.pop("candidate"), facts.pop("champion")
    text = [head, "", f"candidate {short(candidate)} against {short(champion) if champion else 'the base model'}"]
    text += lines(Verdict.model_validate(facts))
    note = (data / "promote" / "release_note.html").absolute()
    return "\n".join([*text, "", f"release note  {note}", "explain       ratchet why champion"])
