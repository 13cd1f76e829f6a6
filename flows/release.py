"""Release: promote -> deploy, and tell of a promotion."""

import json

from prefect import flow

from flows.events import model_promoted
from flows.runtime import NETWORK, ONCE, Outcome, Run, step
from flows.session import Request, session
from tasks.release.promote import is_unrecorded

promote = step("promote", ONCE)
deploy = step("deploy", NETWORK)


@flow(name="release")
def release(request: Request = Request()) -> dict[str, Outcome]:  # noqa: B008 (frozen)
    """Let the gate decide, register the candidate, and bring it to serve where the evidence allows."""
    with session("release", request) as active:
        is_new_store = is_store_without_candidate(active.run)
        active.perform(promote, force=is_new_store)
        if active.outcomes[promote.name] is Outcome.RAN:
            tell_of_promotion(active.run)
        active.perform(deploy, force=is_new_store)
        return dict(active.outcomes)


def tell_of_promotion(run: Run) -> None:
    """Tell that the candidate became the champion, where the verdict says so and the run may move the champion."""
    verdict = json.loads((run.data / "promote" / "verdict.json").read_text(encoding="utf-8"))
    if run.is_tracked and verdict["outcome"] == "PROMOTE":
        model_promoted(verdict["candidate"], verdict["champion"], run.settings)


def is_store_without_candidate(run: Run) -> bool:
    """Return whether the verdict at hand is about a candidate that the store, another than before, does not hold."""
    return run.is_tracked and is_unrecorded(run.settings.data / "promote", run.settings)
