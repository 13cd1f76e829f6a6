"""What makes a stage stale without DVC knowing: a source, the champion, or another store. Without Prefect.

DVC compares files of this checkout and sees nothing beyond them. A flow asks here before each stage that reads from
outside, and forces the stage where the answer is yes. Of an untracked run every stage runs anyway.
"""

import json

from flows.runtime.run import Run
from tasks.runner import find_stage, load_config


def has_source_changed(run: Run) -> bool:
    """Return whether a source differs from what the raw zone was made of."""
    from tasks.curate.ingest import Config, source_fingerprint

    manifest = run.settings.data / "ingest" / "manifest.json"
    if not run.is_tracked or not manifest.exists():
        return False  # it runs anyway
    config = load_config(find_stage("ingest"))
    assert isinstance(config, Config)
    return bool(json.loads(manifest.read_text())["fingerprint"] != source_fingerprint(config, run.settings))


def has_champion_moved(run: Run) -> bool:
    """Return whether the champion that the candidate has to beat is another than the one fetched."""
    from tasks.finetune.fetch import is_stale

    return run.is_tracked and is_stale(run.settings.data / "fetch", run.settings.data / "train", run.settings)


def is_store_without_candidate(run: Run) -> bool:
    """Return whether the verdict at hand is about a candidate that the store, another than before, does not hold."""
    from tasks.release.promote import is_unrecorded

    return run.is_tracked and is_unrecorded(run.settings.data / "promote", run.settings)


def is_any_stage_stale_outside_dvc(run: Run) -> bool:
    """Return whether any of these calls for a stage to run again. Raises ExternalError where a store is not reached."""
    return has_source_changed(run) or has_champion_moved(run) or is_store_without_candidate(run)
