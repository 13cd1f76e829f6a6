"""What each running gateway says of itself: one small object a gateway in the store."""

from datetime import datetime

from tasks.adapters.storage.object_store import Store
from tasks.core.digests import canonical
from tasks.core.rollout.plan import Heartbeat


class Heartbeats:
    """Reads and writes `gateways/<name>.json`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._written: dict[str, bytes] = {}

    def write(self, heartbeat: Heartbeat) -> None:
        """Say that a gateway runs, and what it serves."""
        key, data = f"gateways/{heartbeat.gateway}.json", canonical(heartbeat.model_dump(mode="json"))
        if not self._store.compare_and_swap(key, self._written.get(key), data):
            self._store.compare_and_swap(key, self._store.get(key), data)
        self._written[key] = data

    def alive(self, now: datetime) -> list[Heartbeat]:
        """Return what the gateways that run said last."""
        found = [self._store.get(key) for key in self._store.list("gateways/")]
        beats = [Heartbeat.model_validate_json(data) for data in found if data]
        return [beat for beat in beats if beat.is_alive(now)]
