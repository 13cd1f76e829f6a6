"""Release: promote -> deploy, and announce which version serves now."""

from prefect import flow

from flows.announcements import announce_changes
from flows.runtime.run import Outcome
from flows.runtime.session import Request, session
from flows.runtime.staleness import is_store_without_candidate
from flows.runtime.steps import NETWORK, ONCE, step

promote = step("promote", ONCE)
deploy = step("deploy", NETWORK)


@flow(name="release")
def release(request: Request = Request()) -> dict[str, Outcome]:  # noqa: B008 (frozen)
    """Let the gate decide, register the candidate, and bring it to serve where the evidence allows."""
    with session("release", request) as active:
        is_new_store = is_store_without_candidate(active.run)
        for stage in (promote, deploy):
            active.perform(stage, force=is_new_store)
            if active.run.is_tracked:
                announce_changes(active.run.settings)
        return dict(active.outcomes)
