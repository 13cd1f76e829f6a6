"""Which edition of Python or of a package is installed, under which licence, and from when (importlib.metadata)."""

import hashlib
import importlib.metadata as metadata
import importlib.util
import os
import platform
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path

from tasks.adapters.sources.source_file import iso_time
from tasks.core.errors import ConfigError

PYTHON_LICENCE = "PSF-2.0"
_SPDX = re.compile(r"[A-Za-z0-9.+-]{2,40}(?: (?:AND|OR|WITH) [A-Za-z0-9.+-]{2,40})*")
_CLASSIFIERS = {
    "MIT License": "MIT",
    "BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "Python Software Foundation License": PYTHON_LICENCE,
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "ISC License (ISCL)": "ISC",
}


@dataclass(frozen=True)
class Edition:
    """What is installed: `version` changes whenever its documentation may."""

    version: str
    licence: str
    seen_at: str


def python_edition() -> Edition:
    """Return the running interpreter's edition; its time is that of its build."""
    number, date = platform.python_build()
    version = f"{platform.python_implementation()} {platform.python_version()} {sys.platform} {number} {date}"
    return Edition(version, PYTHON_LICENCE, _build_time(date))


def package_edition(package: str) -> Edition:
    """Return the edition of an importable package. Raises ConfigError where there is none."""
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or spec.origin is None:
        raise ConfigError(
            f"Package {package!r} of source package_reference is not installed: pip install it, or correct `packages`."
        )
    files = sorted(Path(spec.origin).parent.rglob("*.py")) if spec.submodule_search_locations else [Path(spec.origin)]
    state = hashlib.sha256()
    for file in files:
        facts = file.stat()
        state.update(f"{file.name}\x1f{facts.st_size}\x1f{facts.st_mtime_ns}\x1e".encode())
    about = _metadata(package)
    version = about["Version"] if about is not None else "unknown"
    seen_at = iso_time(max(file.stat().st_mtime for file in files))
    return Edition(f"{package} {version} {state.hexdigest()[:16]}", _licence(about), seen_at)


def _build_time(date: str) -> str:
    """Return when the interpreter was built, or when its library was installed where it does not tell."""
    try:
        moment = datetime.strptime(date, "%b %d %Y %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return iso_time(Path(os.__file__).stat().st_mtime)
    return iso_time(moment.timestamp())


def _metadata(package: str) -> Message | None:
    try:
        return metadata.metadata(package)  # type: ignore[return-value]
    except metadata.PackageNotFoundError:
        names = metadata.packages_distributions().get(package, [])
        return metadata.metadata(names[0]) if names else None  # type: ignore[return-value]


def _licence(about: Message | None) -> str:
    """Return the package's licence as an SPDX expression, or "unknown"."""
    if about is None:
        return "unknown"
    stated = about.get("License-Expression") or about.get("License") or ""
    if _SPDX.fullmatch(stated.strip()):
        return stated.strip()
    names = [line.rpartition(" :: ")[2] for line in about.get_all("Classifier", []) if line.startswith("License")]
    return next((_CLASSIFIERS[name] for name in names if name in _CLASSIFIERS), "unknown")
