"""The admission queue: limits how many requests run and how many wait, and drains when the gateway stops."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tasks.serving.protocol.api_error import ApiError

MAX_RETRY_AFTER_S = 60
SMOOTHING = 0.1  # weight of the newest answer in the mean that Retry-After is made of


class AdmissionQueue:
    """At most `running` requests at once and `waiting` behind them, first come first served."""

    def __init__(self, running: int, waiting: int) -> None:
        self._places, self._room = running, waiting
        self._free = asyncio.Semaphore(running)
        self._empty = asyncio.Event()
        self._empty.set()
        self._mean_s = 1.0
        self.running = self.waiting = 0
        self.is_closed = False

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place, waiting until one is free. Raises ApiError 503 once closed, 429 when the queue is full."""
        if self.is_closed:
            raise ApiError(
                503,
                "The gateway is being stopped: ask again in a moment.",
                "server_error",
                "shutting_down",
                retry_after_s=5,
                headers={"Connection": "close"},
            )
        if self.running + self.waiting >= self._places + self._room:
            hint = self._hint_s()
            raise ApiError(
                429,
                f"{self.waiting} requests are waiting already: ask again in {hint} s.",
                "rate_limit_error",
                "queue_full",
                retry_after_s=hint,
            )
        self.waiting += 1
        self._empty.clear()
        try:
            await self._free.acquire()
        except BaseException:
            self.waiting -= 1
            self._leave()
            raise
        self.waiting -= 1
        self.running += 1
        started = asyncio.get_running_loop().time()
        try:
            yield
        finally:
            self._mean_s += SMOOTHING * (asyncio.get_running_loop().time() - started - self._mean_s)
            self.running -= 1
            self._free.release()
            self._leave()

    async def close(self, within_s: float) -> bool:
        """Admit no more requests, and return whether those admitted ended in time."""
        self.is_closed = True
        try:
            await asyncio.wait_for(self._empty.wait(), within_s)
        except TimeoutError:
            return False
        return True

    def _leave(self) -> None:
        if not self.running and not self.waiting:
            self._empty.set()

    def _hint_s(self) -> int:
        return min(MAX_RETRY_AFTER_S, max(1, math.ceil(self._mean_s * (1 + self.waiting / self._places))))
