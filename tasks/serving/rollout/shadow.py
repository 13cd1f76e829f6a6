"""Answers of a candidate that nobody is shown: after the shown answer has ended, as long as nobody waits.

A shadow takes no place in the queue, is broken off as soon as somebody waits for one, and fails in silence: it can
neither delay nor fail a shown answer. It is recorded with the id of the one it belongs to. Caveat: on the embedded
engines both models share the processor, so shown answers that begin meanwhile are somewhat slower.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from tasks.core.records.answer import AnswerRecord, Status
from tasks.core.records.answer_id import new_answer_id
from tasks.serving.gateway.answer_cache import AnswerCache
from tasks.serving.gateway.answering import Answering, PartialAnswer
from tasks.serving.gateway.gateway import ID_BYTES, Exchange, Gateway, record_of
from tasks.serving.gateway.router import Arm

logger = logging.getLogger(__name__)


class _Crowded(Exception):  # noqa: N818 (no error)
    """Somebody waits for a place."""


class Shadows:
    """The shadows of one gateway."""

    def __init__(self, gateway: Gateway, max_running: int, on_record: Callable[[AnswerRecord], None]) -> None:
        self._gateway, self._max_running, self._on_record = gateway, max_running, on_record
        self._tasks: set[asyncio.Task[None]] = set()
        self.dropped = 0
        """Left out or broken off, since others had to be answered."""

    def offer(self, exchange: Exchange, arm: Arm) -> None:
        """Let the arm answer the same question, unless others come first."""
        if len(self._tasks) >= self._max_running or self._is_crowded():
            self.dropped += 1
            return
        task = asyncio.create_task(self._answer(exchange, arm))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Break off those under way."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _is_crowded(self) -> bool:
        queue = self._gateway.queue
        return queue.waiting > 0 or queue.is_closed

    async def _answer(self, shown: Exchange, arm: Arm) -> None:
        answer_id = new_answer_id(datetime.now(UTC), secrets.token_bytes(ID_BYTES))
        exchange = replace(shown, arm=arm, role=arm.name, answer_id=answer_id, started=time.monotonic())
        cache: AnswerCache[PartialAnswer] = AnswerCache(0)
        work = Answering(arm.model, shown.answer_request, cache, lambda _: None)
        try:
            with arm.held():
                async with asyncio.timeout(self._gateway.config.timeout_s):
                    await work.run(self._make_way)
            self._keep(exchange, shown, work.answer, "ok")
        except _Crowded:
            self.dropped += 1
        except TimeoutError:
            self._keep(exchange, shown, work.answer, "timeout")
        except Exception as error:
            logger.warning("a shadow failed with %s", type(error).__name__)
            self._keep(exchange, shown, work.answer, "error")

    async def _make_way(self, _: str) -> None:
        if self._is_crowded():
            raise _Crowded

    def _keep(self, exchange: Exchange, shown: Exchange, answer: PartialAnswer, status: Status) -> None:
        record = record_of(exchange, answer, status).model_copy(update={"shadow_of": shown.answer_id})
        self._gateway.metrics.count_answer(record)
        self._gateway.recorder.record(record)
        self._on_record(record)
