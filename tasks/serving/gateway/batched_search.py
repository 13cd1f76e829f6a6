"""Search the index for many requests in batches: embedding thirty questions at once costs a third of one by one."""

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from tasks.core.retrieval.passages import Passage

TOGETHER = 32

Found = list[tuple[Passage, float]]


class Index(Protocol):
    """The part of `Retriever` that a search needs."""

    def search_scored(self, questions: list[str], k: int) -> list[Found]:
        """Return the `k` best passages of each question with their scores."""


class Searcher:
    """Collects waiting questions and searches them together, in a thread of its own."""

    def __init__(self, index: Index, k: int) -> None:
        self._index, self._k = index, k
        self._waiting: deque[tuple[str, asyncio.Future[Found]]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="search")

    async def find(self, question: str) -> Found:
        """Return the passages to show, best first."""
        future: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        return await future

    def close(self) -> None:
        """End the thread once its search is through."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _work(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(TOGETHER, len(self._waiting)))]
            asked = [(question, future) for question, future in batch if not future.done()]  # the client may have gone
            if asked:
                await self._search(asked)

    async def _search(self, asked: list[tuple[str, asyncio.Future[Found]]]) -> None:
        questions = [question for question, _ in asked]
        try:
            found = await asyncio.get_running_loop().run_in_executor(
                self._thread, self._index.search_scored, questions, self._k
            )
        except Exception as error:
            for _, future in asked:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), passages in zip(asked, found, strict=True):
            if not future.done():
                future.set_result(passages)
