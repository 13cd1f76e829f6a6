"""What `ratchet run` and `ratchet monitor` do: run the flow here and now, and return how it ended as text or JSON."""

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from flows.runtime.prefect_address import configured_api
from flows.runtime.run import Outcome, Run
from flows.runtime.session import Request, session
from tasks.adapters.storage.json_files import read_object
from tasks.core.digests import short
from tasks.core.release.verdict import Verdict, lines
from tasks.runner import TRIAL
from tasks.settings import Settings


@dataclass(frozen=True)
class RunResult:
    """How a run of the loop ended: what each stage did, and the folder with its verdict."""

    outcomes: Mapping[str, str]
    data: Path

    def facts(self) -> dict[str, object]:
        """Return it for programs: what each stage did, the verdict as `promote` wrote it, and where to read on."""
        return {"stages": dict(self.outcomes), "verdict": self._verdict(), "release_note": str(self._release_note())}

    def text(self) -> str:
        """Return it for a person: what ran, the verdict in numbers, where to read on."""
        ran = [name for name, outcome in self.outcomes.items() if outcome != "unchanged"]
        head = f"Ran {', '.join(ran)}." if ran else "Nothing changed: no stage ran and no pointer moved."
        facts = self._verdict()
        candidate, champion = facts.pop("candidate"), facts.pop("champion")
        text = [head, "", f"candidate {short(candidate)} against {short(champion) if champion else 'the base model'}"]
        text += lines(Verdict.model_validate(facts))
        return "\n".join([*text, "", f"release note  {self._release_note()}", "explain       ratchet why champion"])

    def _verdict(self) -> dict[str, Any]:
        return read_object(self.data / "promote" / "verdict.json")

    def _release_note(self) -> Path:
        return (self.data / "promote" / "release_note.html").absolute()


@dataclass(frozen=True)
class MonitorResult:
    """How a look of the monitor ended."""

    lines: list[str]
    """For a person."""
    facts: Mapping[str, object]
    """For programs: the window's verdict, and where its page is."""


def retrain_once(request: Request) -> RunResult:
    """Run the flow once against the configured Prefect API or a private one, and return how it ended.

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
    return RunResult(outcomes, settings.data / request.folder if request.folder else settings.data)


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


def look_once(model: str | None, since: datetime | None, until: datetime | None) -> MonitorResult:
    """Run the monitor's flow once against the configured Prefect API or a private one, and return what it found.

    Raises RatchetError, with the failing stage's own sentence.
    """
    from flows.runtime.prefect_server import prefect_api

    settings = Settings()
    with prefect_api(settings.home):
        from flows.monitor import Look, monitor, read_window_verdict, report_address

        look = Look(model=model, since=since, until=until)
        lines = monitor(look)
    run = Run(settings, TRIAL if look.overrides() else None)
    verdict = read_window_verdict(run.data)
    return MonitorResult(lines, {**verdict.model_dump(mode="json"), "report": report_address(run, verdict)})
