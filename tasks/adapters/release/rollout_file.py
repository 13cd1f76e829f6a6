"""The newest rollout as one object of the store, `rollouts/current.json`; it changes by compare-and-swap alone."""

from pydantic import ValidationError

from tasks.adapters.storage.object_store import Store
from tasks.core.digests import canonical
from tasks.core.errors import DataError
from tasks.core.rollout.plan import RolloutDocument

KEY = "rollouts/current.json"


class RolloutFile:
    """Reads and replaces the newest rollout of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self) -> tuple[bytes | None, RolloutDocument | None]:
        """Return the bytes and the rollout, None where there was none. Raises DataError for a damaged one."""
        data = self._store.get(KEY)
        try:
            return data, None if data is None else RolloutDocument.model_validate_json(data)
        except ValidationError:
            raise DataError(f"{self._store.address}/{KEY} is damaged: restore it from a backup.") from None

    def put(self, expected: bytes | None, rollout: RolloutDocument) -> bool:
        """Write the rollout where the store still holds `expected`; False where it holds something else."""
        return self._store.compare_and_swap(KEY, expected, canonical(rollout.model_dump(mode="json")))

    def replace(self, before: RolloutDocument, after: RolloutDocument) -> RolloutDocument:
        """Put the later rollout in the place of the earlier one, unless it is later already; return what is there."""
        data, current = self.read()
        if current != before:
            return current or after
        return after if self.put(data, after) else self.read()[1] or after
