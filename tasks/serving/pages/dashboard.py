"""What the dashboard shows, read from where it is recorded: answers, feedback, ledger, registry, last monitor run.

Finished hours of records do not change any more and are counted once. A part that cannot be read is missing with a
sentence that says so, and takes no other part with it. Reading blocks: call it in a thread.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TypeVar

from tasks.adapters.monitoring.last_drift import LastDrift, last_drift, monitor_folders
from tasks.adapters.records.answer_log import read_hours
from tasks.adapters.records.feedback_store import open_feedback, read_feedback
from tasks.adapters.records.record_place import open_records, start_of_hour
from tasks.adapters.release.ledger_queries import Recorded, verdicts
from tasks.adapters.release.registry import Registry, open_registry
from tasks.core.errors import RatchetError
from tasks.core.feedback.rules import effective_verdicts
from tasks.core.monitoring.serving_stats import COLUMNS, Figures, figures_of, total
from tasks.core.release.lineage import Pointer, VerdictFacts
from tasks.settings import Settings

T = TypeVar("T")
HOURS = 24
ONE_HOUR = timedelta(hours=1)
FINISHED = timedelta(hours=3)  # an hour's records come at most an hour late, and are rotated soon after
KEPT_HOURS = 4 * HOURS
NUM_VERDICTS = 10


@dataclass(frozen=True)
class Opinions:
    """What users said in the window, an answer each; of several verdicts the one that counts."""

    liked: int
    disliked: int
    waiting: int
    """For a reviewer."""
    labelled: int


@dataclass(frozen=True)
class History:
    """What the registry and the ledger say."""

    champion: Pointer | None
    candidate: Pointer | None
    verdicts: tuple[Recorded, ...]
    """Newest first."""
    champions: Recorded | None
    """The newest verdict on what serves."""


@dataclass(frozen=True)
class Board:
    """Everything on the dashboard; None: it could not be read."""

    at: datetime
    hours: tuple[tuple[datetime, Figures], ...] | None
    """By hour, oldest first, the running one last."""
    opinions: Opinions | None
    history: History | None
    drift: LastDrift | None
    """None: nothing was monitored yet."""
    notes: tuple[str, ...]
    """What could not be read, in sentences."""

    @property
    def figures(self) -> Figures | None:
        """All hours together."""
        return None if self.hours is None else total(figures for _, figures in self.hours)


class BoardReader:
    """Reads the board of one checkout."""

    def __init__(self, settings: Settings, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._settings, self._now = settings, now
        self._place = open_records(settings)
        self._feedback = open_feedback(settings)
        self._registry = open_registry(settings)
        self._finished: OrderedDict[datetime, Figures] = OrderedDict()

    def read(self) -> Board:
        """Return the board as it is now. Blocks, and is for one thread at a time."""
        now, notes = self._now(), list[str]()
        return Board(
            at=now,
            hours=_part("Records", lambda: tuple(self._hours(now)), notes),
            opinions=_part("Feedback", lambda: self._opinions(now), notes),
            history=_part("Verdicts", self._history, notes),
            drift=_part("Drift", lambda: last_drift(monitor_folders(self._settings.home, self._settings.data)), notes),
            notes=tuple(notes),
        )

    def _hours(self, now: datetime) -> Iterator[tuple[datetime, Figures]]:
        for back in range(HOURS - 1, -1, -1):
            hour = start_of_hour(now) - back * ONE_HOUR
            yield hour, self._finished.get(hour) or self._count(hour, now)

    def _count(self, hour: datetime, now: datetime) -> Figures:
        frames = read_hours(self._place, hour, hour + ONE_HOUR)
        figures = total(figures_of(frame.select(COLUMNS)) for frame in frames)
        if hour + ONE_HOUR + FINISHED <= now:
            self._finished[hour] = figures
            while len(self._finished) > KEPT_HOURS:
                self._finished.popitem(last=False)
        return figures

    def _opinions(self, now: datetime) -> Opinions:
        said = effective_verdicts(read_feedback(self._feedback, now - HOURS * ONE_HOUR)).values()
        return Opinions(
            liked=sum(verdict.thumb == "up" for verdict in said),
            disliked=sum(verdict.thumb == "down" for verdict in said),
            waiting=sum(verdict.review == "pending" for verdict in said),
            labelled=sum(verdict.review != "pending" for verdict in said),
        )

    def _history(self) -> History:
        champion = self._registry.pointer("champion")
        newest = tuple(islice(verdicts(self._registry.ledger), NUM_VERDICTS))
        return History(
            champion=champion,
            candidate=self._registry.pointer("candidate"),
            verdicts=newest,
            champions=_verdict_behind(self._registry, champion, newest) if champion else None,
        )


def _verdict_behind(registry: Registry, champion: Pointer, newest: tuple[Recorded, ...]) -> Recorded | None:
    """Return the newest verdict on the champion, where need be the one that its pointer rests on."""
    found = next((verdict for verdict in newest if verdict.facts.candidate == champion.model), None)
    if found is not None:
        return found
    entry = registry.ledger.read(champion.entry_number)
    return Recorded(entry, entry.facts) if isinstance(entry.facts, VerdictFacts) else None


def _part(name: str, read: Callable[[], T], notes: list[str]) -> T | None:
    """Return what `read` returns; where it cannot, None and a sentence in `notes`."""
    try:
        return read()
    except RatchetError as error:
        notes.append(f"{name} cannot be read: {error}")
    except OSError as error:
        notes.append(f"{name} cannot be read: {error.strerror or type(error).__name__}.")
    except ValueError as error:  # written by another release, or damaged
        notes.append(f"{name} cannot be read: what is there is not understood ({type(error).__name__}).")
    return None
