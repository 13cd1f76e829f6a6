"""API keys: their file, their roles and their limits.

Writes `keys.json` (mode 0600) below `settings.home`, with the SHA-256 of each key and never the key: a key is 256
random bits, so that no dictionary helps against its hash and a slow one would only cost each request. A key's text
names its entry, `rk-<id>-<secret>`. The file is read again when it changes, so that a revoked key is refused at once.
"""

import hashlib
import hmac
import json
import secrets
import stat
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from tasks.adapters.storage.files import exclusive
from tasks.core.errors import ConfigError
from tasks.settings import Settings

Role = Literal["admin", "user"]
SECRET_BYTES = 32
ID_BYTES = 6
PREFIX = "rk"


class Key(BaseModel):
    """An entry of the file. None means no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name: str
    role: Role
    sha256: str
    created_at: str
    requests_per_minute: int | None = None
    tokens_per_day: int | None = None


_KEYS = TypeAdapter(list[Key])


class KeyRing:
    """The keys of one gateway."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._keys: dict[str, Key] = {}

    def all(self) -> list[Key]:
        """Return every key, oldest first. Raises ConfigError for a file that others may read or that is damaged."""
        return list(self._read().values())

    def find(self, token: str) -> Key | None:
        """Return the key whose text is `token`."""
        parts = token.split("-", 2)
        key = self._read().get(parts[1]) if len(parts) == 3 and parts[0] == PREFIX else None
        return key if key is not None and hmac.compare_digest(key.sha256, _hash(token)) else None

    def create(
        self,
        name: str,
        role: Role,
        *,
        at: str,
        requests_per_minute: int | None = None,
        tokens_per_day: int | None = None,
    ) -> str:
        """Make a key and return its text, which is not stored."""
        with self._alone():
            return self._add(name, role, at, requests_per_minute, tokens_per_day)

    def create_first(self, name: str, *, at: str) -> str | None:
        """Make an administrator's key and return its text where there is no key yet, None where there is one."""
        with self._alone():
            return None if self.all() else self._add(name, "admin", at)

    def revoke(self, id_: str) -> None:
        """Remove a key. Raises ConfigError where there is none of that id."""
        with self._alone():
            kept = [key for key in self.all() if key.id != id_]
            if len(kept) == len(self.all()):
                raise ConfigError(f"{self._path} has no key {id_!r}: `ratchet keys list` shows them.")
            self._write(kept)

    def _alone(self) -> AbstractContextManager[None]:
        """Lock the file: one process at a time may change it."""
        return exclusive(self._path.with_name(self._path.name + ".lock"))

    def _add(
        self, name: str, role: Role, at: str, requests_per_minute: int | None = None, tokens_per_day: int | None = None
    ) -> str:
        id_ = secrets.token_hex(ID_BYTES)
        token = f"{PREFIX}-{id_}-{secrets.token_urlsafe(SECRET_BYTES)}"
        key = Key(
            id=id_,
            name=name,
            role=role,
            sha256=_hash(token),
            created_at=at,
            requests_per_minute=requests_per_minute,
            tokens_per_day=tokens_per_day,
        )
        self._write([*self.all(), key])
        return token

    def _read(self) -> dict[str, Key]:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._stamp, self._keys = None, {}
            return self._keys
        stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
        if stamp == self._stamp:
            return self._keys
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise ConfigError(f"{self._path} can be read by others: `chmod 600 {self._path}`.")
        try:
            keys = _KEYS.validate_python(json.loads(self._path.read_text(encoding="utf-8"))["keys"])
        except (ValidationError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{self._path} is damaged ({type(error).__name__}): restore it, or delete it and make new keys."
            ) from None
        self._keys, self._stamp = {key.id: key for key in keys}, stamp
        return self._keys

    def _write(self, keys: Sequence[Key]) -> None:
        part = self._path.with_name(self._path.name + ".part")
        part.unlink(missing_ok=True)
        part.touch(mode=0o600)
        part.write_text(json.dumps({"keys": [key.model_dump() for key in keys]}, indent=2) + "\n", encoding="utf-8")
        part.replace(self._path)


def key_ring(settings: Settings) -> KeyRing:
    """Return the keys of this checkout's gateway."""
    return KeyRing(settings.home / "keys.json")


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
