"""The registry: immutable model versions and the two pointers that move.

Writes `blobs/<sha256>`, `models/<digest>/manifest.json`, `models/<digest>/reference.parquet` (no part of the version:
it comes from its evaluation) and `pointers/<name>.json` into a store. A pointer moves by
compare-and-swap, so of two runs at once one wins and the other is told. The order of writes makes a killed run
repeatable: blobs, manifest, ledger entry, pointer, and last the ledger entry of the move; whoever moves a pointer next
first completes the record of the move before. Caveat: nothing is ever deleted here; a store grows by a version a run.
"""

import hashlib
import logging
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from tasks.adapters.release.ledger import Ledger
from tasks.adapters.storage.files import file_digest
from tasks.adapters.storage.object_store import Store, open_store
from tasks.core.digests import canonical, short
from tasks.core.errors import DataError, ExternalError
from tasks.core.release.ledger import Entry
from tasks.core.release.lineage import POINTERS, FileRef, Manifest, Pointer, PointerName, pointer_key

logger = logging.getLogger(__name__)

MAX_TRIES = 50


@dataclass(frozen=True)
class Move:
    """A wish to move a pointer: to which version, on the strength of which entry, when and by whom."""

    name: PointerName
    model: str
    entry: Entry
    at: str
    by: str


class SupersededError(ExternalError):
    """The pointer means another version than the one the verdict was about: `pointer`, None where it means none."""

    def __init__(self, pointer: Pointer | None) -> None:
        super().__init__(
            f"Another run promoted {short(pointer.model)} meanwhile: run again to be compared with it "
            "(with DVC alone, `dvc repro --force fetch` first)."
            if pointer
            else "The store has no champion although one was fetched: it was emptied or is another store than before; "
            "run again to be compared with the base model."
        )
        self.pointer = pointer


class Registry:
    """Model versions and pointers of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.ledger = Ledger(store)

    def register(self, manifest: Manifest, files: dict[str, Path]) -> str:
        """Make the version exist and return its digest; doing it twice, or two runs at once, changes nothing.

        `files` says where the manifest's files lie. Raises DataError for one whose content is not the manifest's.
        """
        for name, ref in sorted(manifest.files.items()):
            self.put_blob(ref, files[name])
        if self.store.put_if_absent(_manifest_key(manifest.digest), canonical(manifest.model_dump(mode="json"))):
            logger.info("registered model %s", short(manifest.digest))
        return manifest.digest

    def put_blob(self, ref: FileRef, path: Path) -> None:
        """Store a file under its content's digest, unless it is there whole."""
        if self.store.size(_blob_key(ref.sha256)) == ref.size:
            return
        if file_digest(path) != ref.sha256:
            raise DataError(f"{path} changed while it was being registered: run again when nothing else writes it.")
        self.store.upload(_blob_key(ref.sha256), path)

    def put_bytes(self, data: bytes) -> str:
        """Store a small content under its digest, and return that."""
        sha256 = hashlib.sha256(data).hexdigest()
        self.store.put_if_absent(_blob_key(sha256), data)
        return sha256

    def manifest(self, digest: str) -> Manifest:
        """Return the manifest of a version. Raises DataError for an unknown or damaged one."""
        data = self.store.get(_manifest_key(digest))
        if data is None:
            raise DataError(f"The store {self.store.address} has no model {short(digest)}: name another version.")
        try:
            manifest = Manifest.model_validate_json(data)
        except ValidationError:
            manifest = None
        if manifest is None or manifest.digest != digest:
            raise DataError(self._damaged(_manifest_key(digest)))
        return manifest

    def download(self, digest: str, folder: Path, prefixes: tuple[str, ...] = ("",)) -> Manifest:
        """Copy the version's files whose path starts with a prefix into `folder`, each checked against its digest."""
        manifest = self.manifest(digest)
        for name, ref in sorted(manifest.files.items()):
            if name.startswith(prefixes):
                self.get_blob(ref.sha256, folder / name)
        return manifest

    def get_blob(self, sha256: str, path: Path) -> None:
        """Copy a blob to `path`. Raises DataError where it is missing or its content is not what its name says."""
        if not self.store.download(_blob_key(sha256), path) or file_digest(path) != sha256:
            path.unlink(missing_ok=True)
            raise DataError(self._damaged(_blob_key(sha256)))

    def keep_reference(self, digest: str, path: Path) -> None:
        """Keep what the version's traffic is compared with; the first one kept stays, as the version does."""
        self.store.put_if_absent(_reference_key(digest), path.read_bytes())

    def reference(self, digest: str, path: Path) -> bool:
        """Copy the version's reference to `path`; False where none was kept."""
        return self.store.download(_reference_key(digest), path)

    def models(self) -> list[str]:
        """Return the digest of every version."""
        return [key.split("/")[1] for key in self.store.list("models/") if key.endswith("/manifest.json")]

    def pointer(self, name: PointerName) -> Pointer | None:
        """Return where the pointer stands, or None where it never stood anywhere."""
        data = self.store.get(_pointer_key(name))
        return None if data is None else self._parse_pointer(name, data)

    def rival(self, candidate: str) -> str | None:
        """Return the version that `candidate` has to beat; None: the base model.

        That is the champion, or, where the candidate is the champion, the one before it: asking again after a promotion
        gives the same answer as before it.
        """
        champion = self.pointer("champion")
        if champion is None:
            return None
        return champion.previous if champion.model == candidate else champion.model

    def move(self, move: Move, expected: Collection[str | None] | None = None) -> bool:
        """Move the pointer and record it; return False where that move, or the version's own, was made before.

        `expected`: versions that the pointer may mean now (None: none yet). Without it, whatever it means is replaced.
        Raises SupersededError when it means another version.
        """
        for _ in range(MAX_TRIES):
            data = self.store.get(_pointer_key(move.name))
            current = None if data is None else self._parse_pointer(move.name, data)
            if current is not None:
                self._record(current)  # the run that moved it may have been killed before it could
            if self.ledger.find(pointer_key(move.name, move.entry.digest)) is not None:
                return False
            if current is not None and current.model == move.model:
                return False
            if expected is not None and (current.model if current else None) not in expected:
                raise SupersededError(current)
            pointer = Pointer(
                name=move.name,
                model=move.model,
                previous=current.model if current else None,
                entry=move.entry.digest,
                entry_number=move.entry.number,
                moved_at=move.at,
                by=move.by,
            )
            if self.store.compare_and_swap(_pointer_key(move.name), data, canonical(pointer.model_dump(mode="json"))):
                logger.info("%s is now %s", move.name, short(move.model))
                self._record(pointer)
                return True
        raise ExternalError(f"The pointer {move.name} of {self.store.address} never stood still: run again.")

    def verify(self) -> int:
        """Return how many ledger entries there are, all of them whole and every pointer resting on one.

        Raises DataError that names the first fault.
        """
        count = self.ledger.verify()
        for name in POINTERS:
            pointer = self.pointer(name)
            if pointer is None:
                continue
            if pointer.entry_number > count or self.ledger.read(pointer.entry_number).digest != pointer.entry:
                raise DataError(
                    f"The pointer {name} rests on ledger entry {pointer.entry_number}, which is gone or another: "
                    f"the ledger of {self.store.address} was cut off or replaced; restore it from a backup."
                )
            self.manifest(pointer.model)
        return count

    def _record(self, pointer: Pointer) -> None:
        self.ledger.append(pointer, pointer_key(pointer.name, pointer.entry), at=pointer.moved_at)

    def _parse_pointer(self, name: PointerName, data: bytes) -> Pointer:
        try:
            return Pointer.model_validate_json(data)
        except ValidationError:
            raise DataError(self._damaged(_pointer_key(name))) from None

    def _damaged(self, key: str) -> str:
        return f"{self.store.address}/{key} is missing or damaged: restore it from a backup of the store."


class StoreSettings(Protocol):
    """What of a checkout's settings says where its models lie."""

    @property
    def store_url(self) -> str: ...

    @property
    def s3_endpoint_url(self) -> str | None: ...


def open_registry(settings: StoreSettings) -> Registry:
    """Return the registry of a checkout's store; `store_url` is a folder or s3://bucket/prefix."""
    return Registry(open_store(settings.store_url, settings.s3_endpoint_url))


def file_ref(path: Path) -> FileRef:
    """Return a file by content."""
    return FileRef(sha256=file_digest(path), size=path.stat().st_size)


def _blob_key(sha256: str) -> str:
    return f"blobs/{sha256}"


def _manifest_key(digest: str) -> str:
    return f"models/{digest}/manifest.json"


def _reference_key(digest: str) -> str:
    return f"models/{digest}/reference.parquet"


def _pointer_key(name: str) -> str:
    return f"pointers/{name}.json"
