"""Release: promote."""

from prefect import flow

from flows.runtime import ONCE, Outcome, step
from flows.session import Request, session

promote = step("promote", ONCE)


@flow(name="release")
def release(request: Request = Request()) -> dict[str, Outcome]:  # noqa: B008 (frozen)
    """Let the gate decide, register the candidate, and move the champion where the evidence allows."""
    with session("release", request) as active:
        active.perform(promote)
        return dict(active.outcomes)
