"""What happens in the loop, told to Prefect's automations and to the alert webhook.

All events are about one resource, so that an automation's cool-down holds for the loop as a whole and not for each
model by itself. A payload holds names, numbers and links; terms of a drifted part come from redacted questions.
"""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime

from prefect.events import emit_event
from prefect.settings import PREFECT_API_URL

from tasks.adapters.system.webhook import post_alert
from tasks.core.digests import short
from tasks.core.monitoring.window_verdict import WindowVerdict
from tasks.core.release.champion_changes import ChampionChange
from tasks.settings import Settings

logger = logging.getLogger(__name__)

RESOURCE = "ratchet.loop"
DRIFT_DETECTED = "ratchet.drift.detected"
QUALITY_DEGRADED = "ratchet.quality.degraded"
MODEL_PROMOTED = "ratchet.model.promoted"
MODEL_ROLLED_BACK = "ratchet.model.rolled_back"


def announce_window(verdict: WindowVerdict, link: str, settings: Settings) -> list[str]:
    """Tell what a window says where it matters, and return the names of the events told."""
    told = []
    if verdict.is_confirmed:
        tell(DRIFT_DETECTED, verdict.model, drift_payload(verdict, link), settings)
        told.append(DRIFT_DETECTED)
    if verdict.quality.has_fallen:
        fall = {"before": verdict.quality.before, "now": verdict.quality.now, "report": link}
        tell(QUALITY_DEGRADED, verdict.model, fall, settings)
        told.append(QUALITY_DEGRADED)
    return told


def drift_payload(verdict: WindowVerdict, link: str) -> dict[str, object]:
    """Return what a retrain needs to know: where to read, what drifted, how bad it is, and which documents to add."""
    wanted = verdict.requested_documents()
    return {
        "report": link,
        "headline": verdict.drift.headline,
        "severity": verdict.severity,
        "slices": [part.cluster.name for part in verdict.parts],
        "advice": [part.cluster.advice for part in verdict.parts],
        "packages": wanted.packages,
        "paths": wanted.paths,
        "window": verdict.number,
    }


def champion_event(change: ChampionChange, settings: Settings) -> str:
    """Tell that another version serves, and return the name of the event told."""
    payload = {"reason": change.reason, "by": change.by, "at": change.at, "entry": change.entry}
    if change.is_rollback:
        tell(MODEL_ROLLED_BACK, change.model, {"left": change.left, **payload}, settings)
        return MODEL_ROLLED_BACK
    tell(MODEL_PROMOTED, change.model, {"previous": change.left, **payload}, settings)
    return MODEL_PROMOTED


def tell(event: str, model: str, payload: Mapping[str, object], settings: Settings) -> None:
    """Emit the event to the Prefect API in use, if one is, and post it to the webhook, if the settings name one."""
    resource = {"prefect.resource.id": RESOURCE, "prefect.resource.name": "Ratchet", "ratchet.model": model}
    if PREFECT_API_URL.value() is not None:  # else Prefect would start a server that nobody looks at
        emit_event(event=event, resource=resource, payload=dict(payload))
    logger.info("event %s about %s", event, short(model))
    if settings.alert_webhook_url is not None:
        body = {"event": event, "model": model, "at": datetime.now(UTC).isoformat(timespec="seconds"), **payload}
        post_alert(settings.alert_webhook_url.get_secret_value(), body, settings.home)
