"""Curate: ingest -> redact -> validate -> clean -> dedup -> split -> index."""

import json

from prefect import flow

from flows.runtime import NETWORK, Outcome, Run, step
from flows.session import Request, session
from tasks.curate.ingest import Config, source_fingerprint
from tasks.runner import find_stage, load_config

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


def has_source_changed(run: Run) -> bool:
    """Return whether a source differs from what the raw zone was made of: DVC cannot see beyond the checkout."""
    manifest = run.settings.data / "ingest" / "manifest.json"
    if not run.is_tracked or not manifest.exists():
        return False  # it runs anyway
    config = load_config(find_stage("ingest"))
    assert isinstance(config, Config)
    return bool(json.loads(manifest.read_text())["fingerprint"] != source_fingerprint(config, run.settings))
