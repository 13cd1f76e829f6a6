"""Record where a run comes from: commit, dvc.lock, library versions, configuration, trigger, checkout (git, importlib).

Everything is looked up when asked, nothing is cached. Caveat: outside a git checkout the commit is unknown, which is
recorded as such and hinders nothing.
"""

import getpass
import importlib.metadata
import os
import platform
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path

import yaml

from tasks.adapters.storage.files import write_text
from tasks.core.release.lineage import CodeFact

TRIGGER = "RATCHET_TRIGGER"
LIBRARIES = (
    "accelerate", "bm25s", "deepspeed", "dvc", "great-expectations", "numpy", "openvino", "openvino-genai", "peft",
    "polars", "pyarrow", "ragas", "ratchet-llm", "scipy", "sentence-transformers", "tokenizers", "torch",
    "transformers",
)  # fmt: skip


def code(checkout: Path) -> CodeFact:
    """Return the commit of `checkout`, and whether tracked or new files differ from it."""
    commit = _git(checkout, "rev-parse", "HEAD")
    changes = _git(checkout, "status", "--porcelain")
    return CodeFact(commit=commit or None, is_dirty=bool(changes))


def library_versions() -> dict[str, str]:
    """Return the versions of what can change a result; an absent library is left out."""
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def configuration(folder: Path) -> dict[str, object]:
    """Return every stage's YAML below `folder`, by "group.stage"."""
    files = sorted(folder.glob("*/*.yaml"))
    return {
        f"{file.parent.name}.{file.stem}": yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        for file in files
        if file.parent.name != "profiles"
    }


def trigger(environment: Mapping[str, str]) -> str:
    """Return who or what started the run: RATCHET_TRIGGER, or this user by hand."""
    if environment.get(TRIGGER):
        return environment[TRIGGER]
    try:
        return f"manual by {getpass.getuser()}"
    except (OSError, KeyError):  # a container's user may have no name
        return f"manual by user {os.getuid()}"


def checkout_name(home: Path) -> str:
    """Return this checkout's own made-up name, kept in `home` from the first call on."""
    path = home / "checkout"
    if not path.exists():
        write_text(path, uuid.uuid4().hex[:12])
    return path.read_text(encoding="utf-8").strip()


def _git(checkout: Path, *arguments: str) -> str:
    try:
        result = subprocess.run(
            ["git", *arguments], cwd=checkout, capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""
