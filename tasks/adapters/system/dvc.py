"""Run DVC as a subprocess: ask whether any stage is stale, and bring one stage up to date.

DVC decides what is stale, in a process of its own: a crash stays there and cancelling reaches every grandchild.
"""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tasks.adapters.system.processes import run_supervised
from tasks.core.errors import ExternalError

logger = logging.getLogger(__name__)

RWLOCK = Path(".dvc/tmp/rwlock")
HINTS = (  # what DVC tells a person who types its commands
    "To track the changes with git",
    "git add dvc.lock",
    "To enable auto staging",
    "dvc config core.autostage",
    "Use `dvc push`",
    "lock file 'dvc.lock'",
)


def is_up_to_date() -> bool:
    """Return whether no stage of `dvc.yaml` is stale. Takes about 2 s."""
    result = subprocess.run(
        [*_dvc(), "status", "--json"], capture_output=True, text=True, env=_environment(), check=False
    )
    try:
        return result.returncode == 0 and json.loads(result.stdout or "{}") == {}
    except ValueError:
        return False


def reproduce(stage: str, on_line: Callable[[str], None], *, force: bool, environment: Mapping[str, str]) -> int:
    """Bring the one stage up to date and return DVC's exit code; each line of its output goes to `on_line`."""

    def on_dvc_line(line: str) -> None:
        if line.strip() and not any(hint in line for hint in HINTS):
            on_line(line)

    command = [*_dvc(), "repro", "--single-item", *(["--force"] if force else []), stage]
    return run_supervised(command, on_dvc_line, environment={**_environment(), **environment})


def remove_damaged_lock() -> None:
    """Remove a lock file that a killed DVC left unreadable. Call it only while no other DVC runs in this checkout."""
    if not RWLOCK.exists():
        return
    try:
        json.loads(RWLOCK.read_text(encoding="utf-8"))
    except ValueError:
        logger.warning("removed %s, left unreadable by a killed run", RWLOCK)
        RWLOCK.unlink()


def check_repository() -> None:
    """Raise ExternalError when this folder is no DVC repository."""
    if not Path(".dvc/config").exists():
        raise ExternalError(f"{Path.cwd()} holds no .dvc folder: run ratchet at the top of its checkout.")


def _dvc() -> list[str]:
    return [sys.executable, "-m", "dvc"]


def _environment() -> dict[str, str]:
    """Stage commands say `python`: let that be ours, also when the virtual environment is not activated."""
    binaries = str(Path(sys.executable).parent)
    return {"PATH": os.pathsep.join([binaries, os.environ.get("PATH", "")]), "SHELL": "/bin/sh"}
