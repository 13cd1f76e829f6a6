"""Retrain: curate -> finetune -> release, as one run. What the nightly schedule, a person or a drift event starts."""

from prefect import flow

from flows.curate import curate
from flows.finetune import finetune
from flows.release import release
from flows.runtime.run import Outcome
from flows.runtime.session import Request, session


@flow(name="retrain")
def retrain(request: Request = Request()) -> dict[str, Outcome]:  # noqa: B008 (frozen)
    """Turn the wheel once: from sources to a verdict. Stages whose input did not change are skipped."""
    with session("retrain", request) as active:
        curate(request)
        finetune(request)
        release(request)
        return dict(active.outcomes)
