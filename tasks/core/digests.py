"""Canonical JSON, its SHA-256, and the short form in which people quote a digest."""

import hashlib
import json


def canonical(value: object) -> bytes:
    """Return `value` as JSON with sorted keys and no spaces. Raises ValueError for NaN and infinity."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def digest_of(value: object) -> str:
    """Return the SHA-256 of the canonical form."""
    return hashlib.sha256(canonical(value)).hexdigest()


def short(digest: str | None) -> str:
    """Return the digest as people quote it."""
    return digest[:12] if digest else "none"
