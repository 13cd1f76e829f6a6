"""Curate: ingest -> redact -> validate -> clean -> dedup -> split -> index."""

from prefect import flow

from flows.runtime.run import Outcome
from flows.runtime.session import Request, session
from flows.runtime.staleness import has_source_changed
from flows.runtime.steps import NETWORK, step

ingest = step("ingest", NETWORK)
redact = step("redact")
validate = step("validate")
clean = step("clean")
dedup = step("dedup")
split = step("split")
index = step("index")


@flow(name="curate")
def curate(request: Request = Request()) -> dict[str, Outcome]:  # noqa: B008 (frozen)
    """Bring sources to split, indexed records. Ingest runs when a source changed, the rest when its input did."""
    with session("curate", request) as active:
        active.perform(ingest, force=has_source_changed(active.run))
        for stage in (redact, validate, clean, dedup, split, index):
            active.perform(stage)
        return dict(active.outcomes)
