"""Finetune: train -> fetch (the champion to beat) -> evaluate."""

from prefect import flow

from flows.runtime import GPU, NETWORK, Outcome, Run, step
from flows.session import Request, session
from tasks.finetune.fetch import is_stale

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


def has_champion_moved(run: Run) -> bool:
    """Return whether the champion that the candidate has to beat is another than the one fetched."""
    return run.is_tracked and is_stale(run.settings.data / "fetch", run.settings.data / "train", run.settings)
