"""Fetch from the store the champion that the candidate has to beat.

Reads `train` and `index` (only to know the candidate's name) and the store; writes `fetch`: `champion.json` with the
champion's digest, and its `adapter/`, `index/` and `prompt.json`, each file checked against its digest. Where there is
no champion yet, `champion.json` says null and nothing else is written. Where the candidate itself is the champion, the
one before it is fetched: so the same model and data give the same bytes before and after a promotion, and DVC alone can
repeat a run. Caveat: DVC cannot see that the store changed; `is_stale` can, and flows ask it.
"""

import json
import logging
from pathlib import Path

from tasks.adapters.storage.files import write_json
from tasks.core.errors import DataError
from tasks.core.stage import Report, StageConfig
from tasks.settings import Settings

logger = logging.getLogger(__name__)

CHAMPION = "champion.json"


class Config(StageConfig):
    """Empty: the store and its endpoint are settings of the machine."""


class FetchReport(Report):
    champion: str | None
    """Digest of the version to beat; None: the base model."""


def run(config: Config, train: Path, index: Path, out: Path, *, settings: Settings) -> FetchReport:
    from tasks.adapters.release.candidate_manifest import candidate_manifest
    from tasks.adapters.release.registry import open_registry

    registry = open_registry(settings)
    champion = registry.rival(candidate_manifest(train, index).digest)
    if champion is None:
        write_json(out / CHAMPION, {"digest": None})
        return FetchReport(champion=None)
    manifest = registry.download(champion, out, prefixes=("adapter/", "index/", "prompt.json"))
    facts = manifest.model_dump(mode="json", include={"base", "prompt", "index_version"})
    write_json(out / CHAMPION, {"digest": champion, **facts})
    return FetchReport(champion=champion)


def is_stale(fetch_folder: Path, train_folder: Path, settings: Settings) -> bool:
    """Return whether the fetched champion is not the one that the candidate in `train_folder` has to beat.

    Call it after `train`, since before it `train_folder` holds the candidate of an earlier run. Without a candidate
    nothing is stale. Raises ExternalError when the store cannot be reached.
    """
    from tasks.adapters.release.candidate_manifest import candidate_manifest
    from tasks.adapters.release.registry import open_registry

    index_folder = train_folder.with_name("index")
    try:
        fetched: str | None = json.loads((fetch_folder / CHAMPION).read_text(encoding="utf-8"))["digest"]
    except (OSError, ValueError, KeyError):
        return True
    try:
        candidate = candidate_manifest(train_folder, index_folder).digest
    except DataError:
        return False
    champion = open_registry(settings).rival(candidate)
    if champion != fetched:
        logger.info("the store's champion has moved since it was fetched")
    return champion != fetched
