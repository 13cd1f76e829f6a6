"""Define the Prefect deployments: what runs when, and the automation by which drift starts a retrain.

`ratchet up` serves them from this checkout (`python -m flows.deployments`); infra/prefect.yaml has the same for a work
pool, and a test holds the two together. The cool-down is the trigger's: the first event of a resource fires, those
within the next COOL_DOWN_S are silent (Prefect's reactive trigger with threshold 1). That runs do not meet is the
checkout's lock, which the kernel lets go of when its holder dies; a concurrency limit of Prefect's would keep its place
for a run that was killed. Caveat: the cool-down lives in the server, which forgets it when its database is thrown away;
a retrain on unchanged data ends in seconds, so that a needless one costs little. The process that serves them follows
the ledger too, and tells within seconds which version serves (flows/announcements.py).
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, cast

from prefect import serve
from prefect.deployments.runner import RunnerDeployment
from prefect.events import DeploymentEventTrigger
from prefect.events.schemas.automations import Posture
from prefect.types.entrypoint import EntrypointType

from flows.announcements import follow_beside
from flows.events import DRIFT_DETECTED, RESOURCE
from flows.monitor import monitor
from flows.retrain import retrain
from tasks.settings import Settings

COOL_DOWN_S = 3600
NIGHTLY, ON_DEMAND, WATCH = "nightly", "on-demand", "every-15-minutes"
NIGHTLY_CRON = "0 2 * * *"
WATCH_EVERY_S = 900


def from_event(template: str) -> dict[str, Any]:
    """Return a parameter that Prefect fills in from the event, and that is no text: a list or a number."""
    return {"__prefect_kind": "json", "value": {"__prefect_kind": "jinja", "template": template}}


DRIFT_REQUEST: dict[str, Any] = {
    "reason": "drift: {{ event.payload.headline }}",
    "slices": from_event("{{ event.payload.slices | tojson }}"),
    "add_packages": from_event("{{ event.payload.packages | tojson }}"),
    "add_paths": from_event("{{ event.payload.paths | tojson }}"),
    "use_feedback": True,
    "wait": True,
}
"""The retrain's `request` where drift starts it."""


def drift_trigger(cool_down_s: int = COOL_DOWN_S) -> DeploymentEventTrigger:
    """Return what starts a retrain on drift, once in `cool_down_s` seconds."""
    return DeploymentEventTrigger(
        name="drift starts a retrain",
        expect={DRIFT_DETECTED},
        match={"prefect.resource.id": RESOURCE},
        for_each={"prefect.resource.id"},
        posture=Posture.Reactive,
        threshold=1,
        within=timedelta(seconds=cool_down_s),
        parameters={"request": DRIFT_REQUEST},
    )


def deployments() -> Sequence[RunnerDeployment]:
    """Return all deployments, each run of which works in this checkout."""
    module = EntrypointType.MODULE_PATH
    made = [
        retrain.to_deployment(
            NIGHTLY,
            cron=NIGHTLY_CRON,
            parameters={"request": {"reason": "nightly", "wait": True}},
            description="Every night at 2:00 UTC: what is new in the sources becomes a candidate.",
            entrypoint_type=module,
        ),
        retrain.to_deployment(
            ON_DEMAND,
            triggers=[drift_trigger()],
            description="By hand, and by the event that drift emits.",
            entrypoint_type=module,
        ),
        monitor.to_deployment(
            WATCH,
            interval=WATCH_EVERY_S,
            description="Every 15 minutes: compare what is asked and answered with what the model was measured on.",
            entrypoint_type=module,
        ),
    ]
    return cast(list[RunnerDeployment], made)  # outside of an event loop, `to_deployment` is no coroutine


if __name__ == "__main__":
    follow_beside(Settings())
    serve(*deployments(), pause_on_shutdown=False, print_starting_message=False)
