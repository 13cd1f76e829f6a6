"""Curate: ingest -> redact -> validate -> clean -> dedup -> split -> index."""

import json

from prefect import flow
from tasks.curate.ingest import source_fingerprint

from flows.runtime import NETWORK, Outcome, Run, step
from flows.session import Request, session
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
    with session("curate", request) as run:
        return {
            "ingest": ingest(run, has_source_changed(run)),
            "redact": redact(run),
            "validate": validate(run),
            "clean": clean(run),
            "dedup": dedup(run),
            "split": split(run),
            "index": index(run),
        }


def has_source_changed(run: Run) -> bool:
    """Return whether a source differs from what the raw zone was made of: DVC cannot see beyond the checkout."""
    manifest = run.settings.data / "ingest" / "manifest.json"
    if not manifest.exists():
        return False
    config = load_config(find_stage("ingest"))
    return bool(json.loads(manifest.read_text())["fingerprint"] != source_fingerprint(config, run.settings))
