"""The model version that lies in `data/train` and `data/index`, as a manifest.

Reads `train/adapter/`, `train/prompt.json`, `train/report.json` and the files of `index`. Nothing here is uploaded.
"""

from pathlib import Path

from tasks.adapters.release.registry import file_ref
from tasks.adapters.storage.json_files import read_object
from tasks.core.errors import DataError
from tasks.core.release.lineage import BaseFact, Manifest, PromptFact

ADAPTER, PROMPT, INDEX, REPORT = "adapter", "prompt.json", "index.json", "report.json"


def candidate_files(train: Path, index: Path) -> dict[str, Path]:
    """Return the files that make the version, by the path they have in it."""
    files = {f"{ADAPTER}/{name}": path for name, path in _below(train / ADAPTER)}
    files |= {f"index/{name}": path for name, path in _below(index) if name != REPORT}
    return {**files, PROMPT: train / PROMPT}


def candidate_manifest(train: Path, index: Path) -> Manifest:
    """Return the manifest of the version. Raises DataError for a folder that no training has finished."""
    files = candidate_files(train, index)
    if not any(name.startswith(f"{ADAPTER}/") for name in files):
        raise DataError(f"{train / ADAPTER} holds no adapter: run `ratchet stage finetune.train` first.")
    report, prompt = read_object(train / REPORT), read_object(train / PROMPT)
    version = read_object(index / INDEX).get("version")
    if version != report.get("index_version", version):
        raise DataError(f"{train} was made with another index than {index}: run `ratchet stage finetune.train` again.")
    try:
        return Manifest(
            base=BaseFact(id=report["base_model"], digest=report["base_digest"]),
            prompt=PromptFact(version=prompt["version"], digest=prompt["digest"], passages=prompt["passages"]),
            index_version=str(version),
            files={name: file_ref(path) for name, path in sorted(files.items())},
        )
    except KeyError as error:
        raise DataError(
            f"{train} or {index} lacks {error.args[0]!r}: an older release made it; run that stage again."
        ) from None


def _below(folder: Path) -> list[tuple[str, Path]]:
    return sorted((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*") if path.is_file())
