"""A random key in a file that only its owner may read."""

import contextlib
import os
import secrets
import tempfile
from pathlib import Path

from pydantic import SecretStr

KEY_BYTES = 32


def read_or_create_key(path: Path) -> bytes:
    """Return the key in `path`, made at the first call; all who make it at once get the same."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, part = tempfile.mkstemp(prefix=path.name, suffix=".part", dir=path.parent)  # mode 0600
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES))
        with contextlib.suppress(FileExistsError):
            os.link(part, path)  # fails where another was first; a rename would replace its key
        Path(part).unlink()
    return bytes.fromhex(path.read_text(encoding="ascii"))


def pseudonym_key(given: SecretStr | None, home: Path) -> bytes:
    """Return the key under which all of this checkout's pseudonyms are made: the given one, or that of `home`."""
    return given.get_secret_value().encode() if given is not None else read_or_create_key(home / "pseudonym.key")
