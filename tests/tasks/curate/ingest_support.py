"""Shared by the tests of `ingest`: run it on some sources, and look at what it left."""

import hashlib
import json
from pathlib import Path
from typing import Any

from tasks.curate.ingest import Config, IngestReport, run
from tasks.settings import Settings

SECRET = "Erika.Mustermann@example.org"


def ingest(out: Path, settings: Settings, *sources: dict[str, Any], **values: Any) -> IngestReport:
    out.mkdir(parents=True, exist_ok=True)
    return run(Config.model_validate({"sources": list(sources), **values}), out, settings=settings)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def quarantine(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "quarantine.jsonl").read_text().splitlines()]


def jsonl(path: Path, *records: object) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)
