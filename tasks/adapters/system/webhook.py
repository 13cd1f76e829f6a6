"""Post alerts to a webhook: one small POST an event (httpx).

An alert that cannot be delivered is logged and counted, and never fails the run that sends it. The
counts lie in `home`/alerts.json. The address may hold a token, so no log line shows it.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path

import httpx

from tasks.adapters.storage.files import write_json

logger = logging.getLogger(__name__)

TIMEOUT_S = 5.0
COUNTS = "alerts.json"


def post_alert(url: str, event: Mapping[str, object], home: Path) -> bool:
    """Post the event and count what became of it; return whether it was taken."""
    fault = _post(url, event)
    if fault:
        logger.warning("alert %s was not delivered: %s", event.get("event"), fault)
    counts = alert_counts(home)
    name = "failed" if fault else "sent"
    write_json(home / COUNTS, {**counts, name: counts[name] + 1})
    return not fault


def alert_counts(home: Path) -> dict[str, int]:
    """Return how many alerts were sent, and how many failed."""
    try:
        found = json.loads((home / COUNTS).read_text(encoding="utf-8"))
        return {"sent": int(found["sent"]), "failed": int(found["failed"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {"sent": 0, "failed": 0}


def _post(url: str, event: Mapping[str, object]) -> str:
    """Return what went wrong, nothing where nothing did."""
    try:
        status = httpx.post(url, json=dict(event), timeout=TIMEOUT_S).status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return type(error).__name__
    return "" if status < httpx.codes.BAD_REQUEST else f"HTTP {status}"
