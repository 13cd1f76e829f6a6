"""Finetune: train -> fetch (the champion to beat) -> evaluate."""

from prefect import flow

from flows.runtime.run import Outcome
from flows.runtime.session import Request, session
from flows.runtime.staleness import has_champion_moved
from flows.runtime.steps import GPU, NETWORK, step

train = step("train", GPU)
fetch = step("fetch", NETWORK)
evaluate = step("evaluate")


@flow(name="finetune")
def finetune(request: Request = Request()) -> dict[str, Outcome]:  # noqa: B008 (frozen)
    """Train a candidate and measure it against the champion and the base model on the same items."""
    with session("finetune", request) as active:
        active.perform(train)
        active.perform(fetch, force=has_champion_moved(active.run))
        active.perform(evaluate)
        return dict(active.outcomes)
