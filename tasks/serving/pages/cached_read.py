"""A value that takes a while to read, read in a thread and kept for some seconds; whoever asks meanwhile shares it."""

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class CachedRead(Generic[T]):
    """What `read` returns, at most `seconds` old. One reading at a time; one that fails is not kept."""

    def __init__(self, read: Callable[[], T], seconds: float) -> None:
        self._read, self._seconds = read, seconds
        self._task: asyncio.Task[T] | None = None
        self._begun_at = 0.0

    async def get(self) -> T:
        """Return the value. Raises what `read` raises."""
        if self._task is None or (self._task.done() and not self._is_fresh(self._task)):
            self._begun_at = time.monotonic()
            self._task = asyncio.create_task(asyncio.to_thread(self._read))
        return await asyncio.shield(self._task)  # a client that goes away takes it from nobody else

    def forget(self) -> None:
        """Let the next one who asks see what has changed."""
        self._task = None

    def _is_fresh(self, task: asyncio.Task[T]) -> bool:
        is_kept = not task.cancelled() and task.exception() is None
        return is_kept and time.monotonic() - self._begun_at < self._seconds
