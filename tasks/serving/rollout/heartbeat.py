"""The heartbeat of a gateway in the store: written when it changes, and every few seconds."""

import time
from collections.abc import Mapping

from tasks.adapters.release.heartbeats import Heartbeats
from tasks.adapters.system.clock import now_text
from tasks.core.digests import short
from tasks.core.rollout.decision import RolloutDecision
from tasks.core.rollout.next_action import Loaded
from tasks.core.rollout.plan import Heartbeat

INTERVAL_S = 5.0


class HeartbeatWriter:
    """Writes one gateway's heartbeat. Blocks while it writes."""

    def __init__(self, heartbeats: Heartbeats, name: str, url: str) -> None:
        self._heartbeats, self._name, self._url = heartbeats, name, url
        self._last: Heartbeat | None = None
        self._written_at = 0.0

    def heartbeat(
        self, loaded: Loaded, loading: str | None, refused: Mapping[str, str], decision: RolloutDecision | None
    ) -> Heartbeat:
        """Return what the gateway says of itself now. `loading`: the version that is being loaded."""
        return Heartbeat(
            gateway=self._name,
            url=self._url,
            at=now_text(),
            champion=loaded.champion,
            candidate=loaded.candidate,
            warm=[loaded.warm] if loaded.warm else [],
            change=f"loading {short(loading)}" if loading is not None else "",
            refused=dict(refused),
            rollout=loaded.rollout,
            decision=decision,
        )

    def write(self, heartbeat: Heartbeat) -> None:
        """Write it, unless the last one said the same a moment ago."""
        unlike = {"at": heartbeat.at, "decision": heartbeat.decision}
        is_same = self._last is not None and heartbeat == self._last.model_copy(update=unlike)
        if is_same and time.monotonic() - self._written_at < INTERVAL_S:
            return
        self._heartbeats.write(heartbeat)
        self._last, self._written_at = heartbeat, time.monotonic()

    def write_last(self, heartbeat: Heartbeat) -> None:
        """Say that the gateway was stopped in order."""
        self._heartbeats.write(heartbeat.model_copy(update={"is_over": True}))
