"""The store of models, pointers and ledger: one protocol; here the folder, in `object_store_s3` the bucket (boto3).

A write is whole or absent, and the two conditional writes are atomic between processes: a hard link fails when its
name exists, and compare-and-swap holds a lock file of its key (flock). Caveat: the folder must lie on a file system
with hard links and working locks; on a network share whose locks are known to one host only, use S3.
"""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import quote, unquote, urlsplit

from tasks.adapters.storage.files import flush_folder
from tasks.core.errors import ConfigError, ExternalError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
NO_HARD_LINK = (errno.EPERM, errno.ENOTSUP, errno.EXDEV, errno.EMLINK)


class Store(Protocol):
    """Bytes by key. Keys are relative paths with forward slashes."""

    @property
    def address(self) -> str:
        """Where the store is, as a person would type it."""

    def get(self, key: str) -> bytes | None:
        """Return the content, or None where there is no such key."""

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write `data` unless the key exists; of any number of racing writers exactly one is told True."""

    def compare_and_swap(self, key: str, expected: bytes | None, data: bytes) -> bool:
        """Write `data` if the content is still `expected` (None: no such key); exactly one of racing writers wins."""

    def list(self, prefix: str) -> list[str]:
        """Return the keys that start with `prefix`, sorted."""

    def size(self, key: str) -> int | None:
        """Return the number of bytes, or None where there is no such key."""

    def upload(self, key: str, path: Path) -> None:
        """Copy a file in, whole or not at all. Only for keys that name their content: an existing one is replaced."""

    def download(self, key: str, path: Path) -> bool:
        """Copy the content to `path`, whole or not at all; False where there is no such key."""


def open_store(url: str, endpoint_url: str | None = None) -> Store:
    """Return the store at `url`: a folder (also as file://), or s3://bucket/prefix.

    Raises ConfigError for any other address.
    """
    parts = urlsplit(url)
    if parts.scheme == "s3":
        if not parts.netloc:
            raise ConfigError(f"The store {url!r} names no bucket: write s3://bucket/prefix into RATCHET_STORE_URL.")
        from tasks.adapters.storage.object_store_s3 import S3Store  # boto3 takes half a second

        return S3Store(parts.netloc, parts.path.strip("/"), endpoint_url)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return FolderStore(Path(unquote(parts.path)))
    if parts.scheme or not url:
        raise ConfigError(f"The store {url!r} is neither a folder nor s3://bucket/prefix: correct RATCHET_STORE_URL.")
    return FolderStore(Path(url))


class FolderStore:
    """A store in a local folder; made when first written to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._temporary = root / ".temporary"
        self._locks = root / ".locks"

    @property
    def address(self) -> str:
        return str(self.root)

    def get(self, key: str) -> bytes | None:
        with self._explained():
            try:
                return self._path(key).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def put_if_absent(self, key: str, data: bytes) -> bool:
        path = self._path(key)
        with self._explained(), self._whole(lambda file: file.write(data)) as part:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(part, path)
            except FileExistsError:
                return False
            flush_folder(path.parent)
            return True

    def compare_and_swap(self, key: str, expected: bytes | None, data: bytes) -> bool:
        if expected is None:
            return self.put_if_absent(key, data)
        with self._explained(), self._locked(key):
            if self.get(key) != expected:
                return False
            self._replace(key, lambda file: file.write(data))
            return True

    def list(self, prefix: str) -> list[str]:
        with self._explained():
            folder = self._path(prefix.rpartition("/")[0]) if "/" in prefix else self.root
            keys = (path.relative_to(self.root).as_posix() for path in folder.rglob("*") if path.is_file())
            return sorted(key for key in keys if key.startswith(prefix) and not key.startswith("."))

    def size(self, key: str) -> int | None:
        with self._explained():
            try:
                return self._path(key).stat().st_size
            except (FileNotFoundError, NotADirectoryError):
                return None

    def upload(self, key: str, path: Path) -> None:
        with self._explained(), path.open("rb") as source:
            self._replace(key, lambda file: shutil.copyfileobj(source, file))

    def download(self, key: str, path: Path) -> bool:
        with self._explained():
            source = self._path(key)
            if not source.is_file():
                return False
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(path.name + ".part")
            shutil.copyfile(source, part)
            part.replace(path)
            return True

    def _path(self, key: str) -> Path:
        if any(part in ("", ".", "..") or part.startswith(".") for part in key.split("/")):
            raise ValueError(f"{key!r} is not a key of a store")
        return self.root / key

    def _replace(self, key: str, write: Callable[[BinaryIO], object]) -> None:
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._whole(write) as part:
            part.replace(path)
        flush_folder(path.parent)

    @contextmanager
    def _whole(self, write: Callable[[BinaryIO], object]) -> Iterator[Path]:
        """Yield a temporary file on the store's file system that is written and flushed; remove it afterwards."""
        self._temporary.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self._temporary)
        part = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            part.chmod(0o644)
            yield part
        finally:
            part.unlink(missing_ok=True)

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        self._locks.mkdir(parents=True, exist_ok=True)
        with (self._locks / quote(key, safe="")).open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # let go when the file closes, also by a kill
            yield

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in DISK_FULL:
                raise ExternalError(
                    f"The disk of the store {self.address} is full: free some space and run again."
                ) from error
            if error.errno in NO_HARD_LINK and error.filename2:
                raise ExternalError(
                    f"The store {self.address} lies on a file system without hard links, so two runs could both win: "
                    "move it to a local disk or to s3:// (RATCHET_STORE_URL)."
                ) from error
            raise ExternalError(
                f"The store {self.address} cannot be used ({error.strerror}: {error.filename}): "
                "correct its permissions or RATCHET_STORE_URL."
            ) from error
