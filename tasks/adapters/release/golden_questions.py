"""The golden questions of a version, in the store as `models/<digest>/golden.json`.

Caveat: they are no part of the version's digest, since evaluation comes after it; the first ones written stay.
"""

from pydantic import ValidationError

from tasks.adapters.storage.object_store import Store
from tasks.core.digests import canonical
from tasks.core.errors import DataError
from tasks.core.release.golden_questions import Golden, GoldenFile


def keep_golden(store: Store, digest: str, questions: list[Golden]) -> None:
    """Keep the questions beside the version, unless there are none or it has some."""
    if questions:
        store.put_if_absent(_key(digest), canonical(GoldenFile(questions=questions).model_dump(mode="json")))


def read_golden(store: Store, digest: str) -> list[Golden]:
    """Return the questions of a version, none where it has none. Raises DataError for a damaged file."""
    data = store.get(_key(digest))
    if data is None:
        return []
    try:
        return GoldenFile.model_validate_json(data).questions
    except ValidationError:
        raise DataError(f"{store.address}/{_key(digest)} is damaged: restore it from a backup of the store.") from None


def _key(digest: str) -> str:
    return f"models/{digest}/golden.json"
