"""Which files a source names: folders, globs, single files, and `s3://` prefixes, always in the same order.

The fingerprint tells cheaply whether anything changed: contents of local files while they are few, else their size and
time; entity tags in S3. Hidden files and folders are left out.
"""

import hashlib
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from tasks.adapters.sources.s3 import SCHEME, list_objects
from tasks.adapters.sources.source_file import SourceFile
from tasks.core.errors import ConfigError

MAX_DIGESTED_BYTES = 64_000_000
GLOB_MARKS = "*?["
BUFFER_BYTES = 1 << 16
WHERE = "configs/curate/ingest.yaml"


def list_files(locations: Sequence[str], suffixes: Collection[str], endpoint_url: str | None) -> list[SourceFile]:
    """Return the files with one of the `suffixes`, in the order of `locations`, then by path; each file once.

    Raises ConfigError for a location that does not exist, or a single file of another kind.
    """
    files: dict[str, SourceFile] = {}
    for location in locations:
        found = list_objects(location, endpoint_url) if location.startswith(SCHEME) else _list_local(location)
        kept = [file for file in found if file.suffix in suffixes]
        if not kept and Path(location).expanduser().is_file():
            endings = ", ".join(sorted(suffixes))
            raise ConfigError(f"Source file {location} ends in none of {endings}: convert it or name another.")
        for file in kept:
            files.setdefault(file.place, file)
    return list(files.values())


def fingerprint(files: Sequence[SourceFile]) -> str:
    """Return a digest that changes when a file is added, removed or altered."""
    is_small = sum(file.size for file in files if file.path) <= MAX_DIGESTED_BYTES
    digest = hashlib.sha256()
    for file in files:
        version = _content_digest(file.path) if file.path and is_small else file.version
        digest.update(f"{file.uri}\x1f{file.size}\x1f{version}\x1e".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _content_digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _list_local(location: str) -> Iterator[SourceFile]:
    path = Path(location).expanduser()
    if path.is_dir():
        return _walk(path, path)
    if path.is_file():
        return iter([_local_file(path, path.parent, "", path.stat())])
    if any(mark in location for mark in GLOB_MARKS):
        return _match(path, location)
    raise ConfigError(f"Source {location} does not exist: create it, or correct `sources` in {WHERE}.")


def _match(pattern: Path, location: str) -> Iterator[SourceFile]:
    """Yield what a glob matches, named from its first folder without a mark on."""
    num_fixed = next(i for i, part in enumerate(pattern.parts) if any(mark in part for mark in GLOB_MARKS))
    root = Path(*pattern.parts[:num_fixed])
    found = sorted(path for path in root.glob(str(Path(*pattern.parts[num_fixed:]))) if path.is_file())
    visible = [path for path in found if not any(part.startswith(".") for part in path.relative_to(root).parts)]
    if not visible:
        raise ConfigError(f"Source pattern {location} matches no file: correct it in {WHERE}.")
    for path in visible:
        yield _local_file(path, root, _prefix(root), path.stat())


def _walk(folder: Path, root: Path) -> Iterator[SourceFile]:
    with os.scandir(folder) as entries:
        visible = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in visible:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), root)
        elif entry.is_file():
            yield _local_file(Path(entry.path), root, _prefix(root), entry.stat())


def _prefix(root: Path) -> str:
    """Return the folder's own name; none for the current folder, whose name is this machine's business."""
    return "" if root.name in ("", "..") else f"{root.name}/"


def _local_file(path: Path, root: Path, prefix: str, facts: os.stat_result) -> SourceFile:
    relative = path.relative_to(root).as_posix()
    return SourceFile(
        uri=prefix + relative,
        relative=relative,
        size=facts.st_size,
        version=str(facts.st_mtime_ns),
        modified_at=facts.st_mtime,
        open=partial(_open, path),
        path=str(path),
    )


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    with path.open("rb", buffering=BUFFER_BYTES) as file:
        yield file
