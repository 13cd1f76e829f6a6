"""Free the models that a router has dropped once their answers have ended, and load one version at a time."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from tasks.core.errors import RatchetError
from tasks.serving.gateway.router import Arm
from tasks.serving.rollout.rollout_router import RolloutRouter


class Memory:
    """Frees the models that a router has dropped. There are never three in memory."""

    def __init__(self, router: RolloutRouter, keep_warm_s: float) -> None:
        self._router, self._keep_warm_s = router, keep_warm_s
        self._retiring: set[asyncio.Task[None]] = set()

    def retire(self, arm: Arm | None) -> None:
        """Free a dropped arm's model once its answers have ended."""
        if arm is not None:
            task = asyncio.create_task(arm.retire())
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    async def make_room(self) -> None:
        """Free all but the champion, and wait until that is done."""
        self.retire(self._router.drop_candidate())
        self.retire(self._router.drop_warm())
        if self._retiring:
            await asyncio.wait(self._retiring)  # whoever is cancelled here does not cancel them

    def expire(self) -> None:
        """Free the version before once it was kept long enough."""
        router = self._router
        if router.warm is not None and time.monotonic() - router.warm_since > self._keep_warm_s:
            self.retire(router.drop_warm())


class Loading:
    """The loading of one version, in the background; another one cancels it."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._name = self._digest = ""

    @property
    def digest(self) -> str | None:
        """The version that is being loaded, or None."""
        return self._digest if self._task is not None and not self._task.done() else None

    async def begin(self, name: str, digest: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin, unless `name` is under way. Raises what went wrong with the one before; the next look tries again."""
        if self._task is not None and self._task.done():
            task, self._task = self._task, None
            task.result()
            return
        if self._task is not None and self._name == name:
            return
        await self.cancel()
        self._task, self._name, self._digest = asyncio.create_task(work()), name, digest

    async def cancel(self) -> None:
        """Cancel it, and wait until that is done."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        with suppress(asyncio.CancelledError, RatchetError):
            await task
