import asyncio
import threading
from collections.abc import Sequence

import pytest

from tasks.core.retrieval.passages import Passage
from tasks.serving.gateway.batched_search import Searcher


class Slow:
    """Finds the question itself; the first search waits until it is let go."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.go = threading.Event()

    def search_scored(self, questions: Sequence[str], k: int) -> list[list[tuple[Passage, float]]]:
        self.calls.append(list(questions))
        self.go.wait(10)
        if "broken" in questions:
            raise ValueError("no such index")
        return [[(Passage(question, question, 0, question), 1.0)] for question in questions]


def test_questions_that_wait_are_searched_together_and_each_gets_its_own() -> None:
    index = Slow()

    async def work() -> list[str]:
        searcher = Searcher(index, 1)
        asked = [asyncio.create_task(searcher.find(f"q{i}")) for i in range(40)]
        await asyncio.sleep(0.05)
        asked[35].cancel()
        index.go.set()
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(found[35], asyncio.CancelledError)
        searcher.close()
        return [passages[0][0].id for passages in found if isinstance(passages, list)]

    assert asyncio.run(work()) == [f"q{i}" for i in range(40) if i != 35]
    assert [len(call) for call in index.calls] == [32, 7]


def test_a_search_that_fails_fails_those_who_asked_and_no_later_one() -> None:
    index = Slow()
    index.go.set()

    async def work() -> None:
        searcher = Searcher(index, 1)
        with pytest.raises(ValueError, match="no such index"):
            await searcher.find("broken")
        assert len(await searcher.find("whole")) == 1
        searcher.close()

    asyncio.run(work())
