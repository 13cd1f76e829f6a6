"""Wait for what the running copy does: poll a condition, and print which stage works meanwhile."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tasks.core.errors import ExternalError

POLL_S = 2.0
REPEAT_S = 60.0  # between two lines about a stage that goes on

Echo = Callable[[str], None]


class TurnedOutOtherwiseError(ExternalError):
    """The story took another turn than it should."""


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float, logs: Path) -> None:
    """Return when the condition holds. Raises TurnedOutOtherwiseError where `what` does not come about in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TurnedOutOtherwiseError(f"{what}: not within {timeout_s:.0f} s; read the logs in {logs}.")
        time.sleep(POLL_S)


def at_most_every(interval_s: float, condition: Callable[[], bool]) -> Callable[[], bool]:
    """Return the condition, evaluated no more often than that, and no more once it held."""
    last = [float("-inf"), False]

    def look() -> bool:
        if not last[1] and time.monotonic() - last[0] >= interval_s:
            last[:] = [time.monotonic(), condition()]
        return bool(last[1])

    return look


@dataclass
class StageProgress:
    """Prints which stage of the copy works, when it changes and now and then."""

    home: Path
    """Of the copy: stages leave their progress files there."""
    echo: Echo
    stage: str = ""
    printed_at: float = 0.0
    begun: float = field(default_factory=time.time)

    def show(self) -> None:
        """Print the newest progress, unless the same stage was printed less than REPEAT_S ago."""
        files = [path for path in self.home.glob("stages/*/progress.json") if self._is_new(path)]
        if not files:
            return
        newest = max(files, key=lambda path: path.stat().st_mtime)
        if newest.parent.name == self.stage and time.monotonic() - self.printed_at < REPEAT_S:
            return
        try:
            progress = json.loads(newest.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return
        self.stage, self.printed_at = newest.parent.name, time.monotonic()
        self.echo(f"  {self.stage}: {progress['done']} of {progress['total']} {progress['message']}")

    def _is_new(self, path: Path) -> bool:
        try:
            return path.stat().st_mtime > self.begun
        except OSError:
            return False
