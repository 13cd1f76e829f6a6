"""Release: promote."""

from prefect import flow

from flows.runtime import ONCE, Outcome, Run, step
from flows.session import Request, session
from tasks.release.promote import is_unrecorded

promote = step("promote", ONCE)


@flow(name="release")
def release(request: Request = Request()) -> dict[str, Outcome]:  # noqa: B008 (frozen)
    """Let the gate decide, register the candidate, and move the champion where the evidence allows."""
    with session("release", request) as active:
        active.perform(promote, force=is_store_without_candidate(active.run))
        return dict(active.outcomes)


def is_store_without_candidate(run: Run) -> bool:
    """Return whether the verdict at hand is about a candidate that the store, another than before, does not hold."""
    return run.is_tracked and is_unrecorded(run.settings.data / "promote", run.settings)
