"""Run the retrain flow, or a look of the monitor, here and now, and say in a few lines how it ended."""

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from flows.runtime.prefect_address import configured_api
from flows.runtime.run import Outcome
from flows.runtime.session import Request, session
from tasks.adapters.storage.json_files import read_object
from tasks.core.digests import short
from tasks.core.release.verdict import Verdict, lines
from tasks.settings import Settings


def retrain_once(request: Request) -> str:
    """Run the flow once against the configured Prefect API or a private one, and return its summary.

    Where no API is configured and nothing is stale, Prefect is not even loaded: its private server would record a run
    that nobody can look at. Raises RatchetError, with the failing stage's own sentence.
    """
    settings = Settings()
    if configured_api(settings.home):
        outcomes = _retrain(settings, request)
    else:
        with _sigterm_as_exit(), session("retrain", request) as active:
            outcomes = active.outcomes if active.skip_all() else _retrain(settings, request)
        if not active.has_work:
            _announce_changes(settings)
    return summary(outcomes, settings.data / request.folder if request.folder else settings.data)


def _retrain(settings: Settings, request: Request) -> Mapping[str, Outcome]:
    from flows.runtime.prefect_server import prefect_api

    with prefect_api(settings.home):
        from flows.retrain import retrain  # after the API is known: flows read it when they start

        return retrain(request)


class Terminated(SystemExit):
    """SIGTERM came: what is under way ends, and the ledger says so."""


@contextmanager
def _sigterm_as_exit() -> Iterator[None]:
    """Let SIGTERM unwind the block. Prefect sends the signal again once a flow has ended: the session is still open."""

    def on_signal(number: int, _: object) -> None:
        raise Terminated(128 + number)

    before = signal.signal(signal.SIGTERM, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _announce_changes(settings: Settings) -> None:
    """Tell the webhook what has changed in the ledger, as a flow would."""
    if settings.alert_webhook_url is not None:  # else nobody hears it, and Prefect takes seconds to load
        from flows.announcements import announce_changes_here

        announce_changes_here(settings)


def look_once(model: str | None, since: datetime | None, until: datetime | None) -> list[str]:
    """Run the monitor's flow once against the configured Prefect API or a private one, and return what it says.

    Raises RatchetError, with the failing stage's own sentence.
    """
    from flows.runtime.prefect_server import prefect_api

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
