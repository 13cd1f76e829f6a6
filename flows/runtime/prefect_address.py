"""Find the Prefect API that a run is to use, without loading Prefect where nothing names one: that takes seconds."""

import os
import sys
from pathlib import Path

import httpx

NOTE = Path("up") / "prefect_api"  # below `home`: the address of the server that `ratchet up` runs


def configured_api(home: Path) -> str | None:
    """Return the address of the configured API or that of `ratchet up` here; None where a run starts its own."""
    if "prefect" in sys.modules or _has_prefect_settings():
        from prefect.settings import PREFECT_API_URL

        return PREFECT_API_URL.value() or running_api(home)
    return running_api(home)


def running_api(home: Path) -> str | None:
    """Return the address of the API that `ratchet up` runs in this checkout, where it answers."""
    try:
        address = (home / NOTE).read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return address if answers(address) else None


def answers(address: str) -> bool:
    """Return whether a Prefect API answers at the address."""
    try:
        return httpx.get(f"{address.rstrip('/')}/health", timeout=5).status_code == httpx.codes.OK
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


def _has_prefect_settings() -> bool:
    """Return whether the environment or a file that Prefect reads could name an API.

    Source: docs.prefect.io/v3/concepts/settings-and-profiles.
    """
    if any(name.upper().startswith("PREFECT_API") for name in os.environ):
        return True
    prefect_home = Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect").expanduser()
    profiles = Path(os.environ.get("PREFECT_PROFILES_PATH") or prefect_home / "profiles.toml")
    if profiles.exists() or Path("prefect.toml").exists():
        return True
    return _mentions(Path(".env"), "PREFECT") or _mentions(Path("pyproject.toml"), "[TOOL.PREFECT")


def _mentions(file: Path, text: str) -> bool:
    return file.exists() and text in file.read_text(encoding="utf-8", errors="replace").upper()
