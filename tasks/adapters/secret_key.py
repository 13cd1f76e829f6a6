"""A random key in a file that only its owner may read."""

import contextlib
import os
import secrets
from pathlib import Path

KEY_BYTES = 32


def read_or_create_key(path: Path) -> bytes:
    """Return the key in `path`, made at the first call; of two processes that make it at once, both get the same."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        with os.fdopen(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES))
        with contextlib.suppress(FileExistsError):
            os.link(part, path)  # fails where another process was first; a rename would replace its key
        part.unlink()
    return bytes.fromhex(path.read_text(encoding="ascii"))
