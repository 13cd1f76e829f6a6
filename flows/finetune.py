"""Finetune: train -> fetch (the champion to beat) -> evaluate."""

from prefect import flow
from tasks.finetune.fetch import is_stale

from flows.runtime import GPU, NETWORK, Outcome, Run, step
from flows.session import Request, session

train = step("train", GPU)
fetch = step("fetch", NETWORK)
evaluate = step("evaluate")


@flow(name="finetune")
def finetune(request: Request = Request()) -> dict[str, Outcome]:  # noqa: B008 (frozen)
    """Train a candidate and measure it against the champion and the base model on the same items."""
    with session("finetune", request) as run:
        return {"train": train(run), "fetch": fetch(run, has_champion_moved(run)), "evaluate": evaluate(run)}


def has_champion_moved(run: Run) -> bool:
    """Return whether the store's champion is another than the one fetched, and not this checkout's own candidate."""
    return is_stale(run.settings.data / "fetch", run.settings.data / "train", run.settings)
