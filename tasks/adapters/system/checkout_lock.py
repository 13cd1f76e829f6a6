"""One run per checkout: an advisory lock that the kernel releases when its holder dies (flock)."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tasks.core.errors import ExternalError

RUN_LOCK, MONITOR_LOCK = "run.lock", "monitor.lock"  # below `home`: a retrain, and a look at the traffic
POLL_S = 1.0


@dataclass(frozen=True)
class Holder:
    """Who runs: what `ratchet status` and a second run show."""

    pid: int
    command: str
    started_at: str


@contextmanager
def hold(path: Path, holder: Holder, *, wait: bool) -> Iterator[Holder | None]:
    """Hold the lock at `path` for the block; yield the previous holder if it died without letting go, else None.

    Raises ExternalError that names the holder when another run has it and `wait` is false.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        _acquire(file.fileno(), path, wait)
        died = holder_of(path)
        file.truncate(0)
        file.write(json.dumps(asdict(holder)))
        file.flush()
        try:
            yield died
        finally:
            file.truncate(0)


def holder_of(path: Path) -> Holder | None:
    """Return who is written in the lock file: the running holder, or one that was killed."""
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def is_held(path: Path) -> bool:
    """Return whether a living process holds the lock."""
    if not path.exists():
        return False
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _acquire(descriptor: int, path: Path, wait: bool) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise ExternalError(_busy(path)) from None
            time.sleep(POLL_S)
        else:
            os.set_inheritable(descriptor, False)
            return


def _busy(path: Path) -> str:
    holder = holder_of(path)
    who = f"process {holder.pid} ({holder.command}, since {holder.started_at})" if holder else "another process"
    return f"This checkout is in use by {who}: wait for it, add --wait, or work in another checkout."
