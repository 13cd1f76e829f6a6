"""Chapter 3: Prefect's automation turns the drift event into a run of the retrain flow."""

import json

from prefect.client.schemas.objects import FlowRun

from flows.demo.telling import Telling
from flows.demo.waiting import TurnedOutOtherwiseError
from flows.deployments import ON_DEMAND

EVENT_S = 120.0


def tell(telling: Telling) -> FlowRun:
    """Return the run. Raises TurnedOutOtherwiseError where none comes, or where the automation did not make it."""
    with telling.chapter("Drift starts a retrain") as chapter:
        run = telling.runs.await_first(f"retrain/{ON_DEMAND}", "Drift started a retrain", EVENT_S)
        by = run.created_by
        chapter.add(
            f"Prefect's automation {by.display_value if by else 'unknown'!r} ({by.type if by else 'unknown'}) "
            f"made the run {run.name}, with these parameters:"
        )
        chapter.add(*json.dumps(run.parameters["request"], indent=2, ensure_ascii=False).splitlines())
        record = telling.evidence("retrain_run.json")
        record.write_text(run.model_dump_json(indent=2), encoding="utf-8")
        chapter.links["the run's record"] = record.as_uri()
        if by is None or by.type != "AUTOMATION":
            raise TurnedOutOtherwiseError(f"The retrain {run.name} was not started by the automation.")
        return run
