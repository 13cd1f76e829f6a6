"""One run of a flow as its steps see it: where it works, what it may skip, and what each step did. Without Prefect."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from tasks.settings import Settings


class Outcome(StrEnum):
    """What a step did."""

    RAN = "ran"
    RESTORED = "restored from the cache"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Run:
    """One run of a flow: where it works and what it may skip."""

    settings: Settings
    folder: str | None = None
    """Where below data/ an untracked run works: its profile, or "trial". None: DVC tracks the run."""
    overrides: tuple[str, ...] = ()
    is_fresh: bool = False
    """True: `dvc status` found nothing stale, so a step that is not forced has nothing to do."""
    trigger: str = ""
    """Who or what started it, and why."""

    @property
    def is_tracked(self) -> bool:
        return self.folder is None

    @property
    def data(self) -> Path:
        return self.settings.data / self.folder if self.folder else self.settings.data


class Step(Protocol):
    """A Prefect task that brings one stage up to date."""

    @property
    def name(self) -> str: ...

    def __call__(self, run: Run, force: bool = False) -> Outcome: ...
