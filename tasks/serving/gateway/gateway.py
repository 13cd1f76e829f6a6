"""The gateway: takes a chat request through authentication, routing, admission, answering and recording.

`Gateway.answer` holds a place in the queue and an arm of the router, answers within the time limit, and leaves a record
however the answer ends. HTTP is the matter of `api/app`.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from tasks.adapters.inference.stream_engine import EngineLostError, PromptRefusedError
from tasks.core.errors import RatchetError
from tasks.core.records.answer import AnswerRecord, Status
from tasks.core.records.answer_id import new_answer_id
from tasks.serving.access.keys import Key, KeyRing
from tasks.serving.access.usage_limits import Budgets
from tasks.serving.config import ServeConfig
from tasks.serving.gateway.admission_queue import AdmissionQueue
from tasks.serving.gateway.answer_cache import AnswerCache
from tasks.serving.gateway.answering import Answering, AnswerRequest, PartialAnswer
from tasks.serving.gateway.metrics import NO_MODEL, Metrics
from tasks.serving.gateway.router import Arm, Router
from tasks.serving.protocol.api_error import ApiError
from tasks.serving.protocol.openai_schema import ChatRequest

logger = logging.getLogger(__name__)

ID_BYTES = 10


class Recorder(Protocol):
    """Takes records. It neither blocks nor raises: what it could not store, it counts."""

    def record(self, answer: AnswerRecord) -> None:
        """Take a record, at once."""


@dataclass
class Exchange:
    """A request and what was decided about it: whose key, which arm answers, under which id."""

    key: Key
    request: ChatRequest
    arm: Arm
    answer_request: AnswerRequest
    answer_id: str
    created: int
    role: str
    """The arm's when it was chosen: it may become the champion before the answer ends."""
    bucket: int | None = None
    started: float = field(default_factory=time.monotonic)

    @property
    def model_name(self) -> str:
        return self.arm.model.name


OnRecord = Callable[[Exchange, AnswerRecord], None]
"""Called with every answer at its end; must not block."""
RolloutState = Callable[[], Mapping[str, Any]]
"""Returns how the rollout stands, for administrators."""


class Gateway:
    """Answers requests with the served models, within keys, budgets and limits."""

    def __init__(
        self, router: Router, config: ServeConfig, *, recorder: Recorder, keys: KeyRing, budgets: Budgets
    ) -> None:
        self.router, self.config, self.recorder = router, config, recorder
        self.keys, self.budgets = keys, budgets
        self.queue = AdmissionQueue(config.concurrency, config.queue)
        self.cache: AnswerCache[PartialAnswer] = AnswerCache(config.cache_entries)
        self.metrics = Metrics()
        self.started_at = int(time.time())
        self._on_record: OnRecord = lambda _, __: None
        self.rollout_state: RolloutState = dict
        self.metrics.gauge("ratchet_running", "Answers under way.", lambda: self.queue.running)
        self.metrics.gauge("ratchet_queue_depth", "Requests that wait for a place.", lambda: self.queue.waiting)

    def attach(self, on_record: OnRecord, rollout_state: RolloutState) -> None:
        """Let a rollout hear of every answer at its end, and say how it stands."""
        self._on_record, self.rollout_state = on_record, rollout_state

    @property
    def is_ready(self) -> bool:
        """Whether a question could be answered now."""
        return not self.queue.is_closed and any(arm.model.engine.is_ready for arm in self.router.arms())

    def authenticate(self, header: str | None, *, needs_admin: bool = False) -> Key:
        """Return whose key an Authorization header holds. Raises ApiError 401 or 403."""
        scheme, _, token = (header or "").partition(" ")
        key = self.keys.find(token.strip()) if scheme.lower() == "bearer" else None
        if key is None:
            said = "This API key is not known." if header else "Send an API key: `Authorization: Bearer KEY`."
            raise ApiError(401, said, "authentication_error", "invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
        if needs_admin and key.role != "admin":
            raise ApiError(403, "This needs a key of the role admin.", "permission_error", "admin_only")
        return key

    def exchange(self, key: Key, request: ChatRequest) -> Exchange:
        """Return the request with the arm that will answer it. Raises ApiError 404 for an unknown model."""
        choice = self.router.choose(request.model, sticky=request.user or key.id)
        if choice is None:
            raise ApiError(
                404,
                "There is no model of that name: `ratchet` is what serves, /v1/models lists all.",
                "not_found_error",
                "model_not_found",
                "model",
            )
        limit = request.limit if request.limit is not None else self.config.answer_tokens
        answer_request = AnswerRequest(
            question=request.question,
            max_tokens=min(limit, self.config.max_answer_tokens),
            temperature=request.temperature or 0.0,
            top_p=request.top_p if request.top_p is not None else 1.0,
            seed=request.seed,
        )
        now = datetime.now(UTC)
        answer_id = new_answer_id(now, secrets.token_bytes(ID_BYTES))
        arm, created = choice.arm, int(now.timestamp())
        return Exchange(key, request, arm, answer_request, answer_id, created, arm.name, choice.bucket)

    async def answer(self, exchange: Exchange, emit: Callable[[str], Awaitable[None]]) -> PartialAnswer:
        """Answer the question, giving text to `emit` as it comes, and record it, however it ends.

        Call it at once after `exchange`: from its first line on it holds the arm. Raises ApiError for whatever the
        client is to be told.
        """
        work = Answering(
            exchange.arm.model,
            exchange.answer_request,
            self.cache,
            lambda is_hit: self.metrics.count_lookup(exchange.arm.model.digest[:12], is_hit=is_hit),
        )
        has_begun = False
        status: Status = "error"
        try:
            with exchange.arm.held():
                async with asyncio.timeout(self.config.timeout_s), self.queue.place():
                    has_begun = True
                    answer = await work.run(emit)
            status = "ok"
            return answer
        except TimeoutError:
            has_begun, status = True, "timeout"
            raise ApiError(
                504, f"No answer within {self.config.timeout_s:g} s: ask again.", "server_error", "timeout"
            ) from None
        except asyncio.CancelledError:
            has_begun, status = True, "cancelled"
            raise
        except PromptRefusedError as error:
            raise ApiError(400, str(error), code="context_length_exceeded", param="messages") from None
        except EngineLostError as error:
            raise ApiError(503, str(error), "server_error", "engine_lost", retry_after_s=2) from None
        except RatchetError as error:
            raise ApiError(500, str(error), "server_error", "internal_error") from None
        finally:
            if has_begun:
                self._record(exchange, work.answer, status)

    def count(self, exchange: Exchange | None, status: int) -> None:
        """Count a request that has ended with an HTTP status."""
        self.metrics.count_request(exchange.arm.model.digest[:12] if exchange else NO_MODEL, status)

    async def close(self) -> bool:
        """Refuse new requests, let the running ones end, and return whether all of them did in time."""
        is_clean = await self.queue.close(self.config.drain_s)
        self.budgets.save()
        await self.router.close()
        return is_clean

    def _record(self, exchange: Exchange, answer: PartialAnswer, status: Status) -> None:
        if not answer.is_cached:
            self.budgets.spend(exchange.key, (answer.prompt_tokens or 0) + (answer.completion_tokens or 0))
        record = record_of(exchange, answer, status)
        self.metrics.count_answer(record)
        try:
            self.recorder.record(record)
            self._on_record(exchange, record)
        except Exception as error:  # an answer must not fail because it could not be kept
            logger.warning("answer %s is not recorded: %s", record.answer_id, type(error).__name__)


def record_of(exchange: Exchange, answer: PartialAnswer, status: Status) -> AnswerRecord:
    """Return what is kept of an answer."""
    model, started = exchange.arm.model, exchange.started
    return AnswerRecord(
        answer_id=exchange.answer_id,
        at=datetime.now(UTC).isoformat(),
        model=model.digest,
        arm=exchange.role,
        prompt_digest=model.prompt_digest,
        index_version=model.index_version,
        engine=model.engine.name,
        parameters={**exchange.answer_request.parameters(), "passages": model.passages},
        messages=[{"role": turn.role, "content": turn.text} for turn in exchange.request.messages],
        answer=answer.text,
        document_ids=list(dict.fromkeys(citation.document_id for citation in answer.citations)),
        retrieval_scores=[citation.score for citation in answer.citations],
        abstained=answer.abstained,
        ungrounded=None if answer.ungrounded is None else list(answer.ungrounded),
        status=status,
        finish_reason=answer.finish_reason,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        ttft_s=None if answer.first_at is None else answer.first_at - started,
        seconds=time.monotonic() - started,
        cpu_s=answer.cpu_s,
        key_id=exchange.key.id,
        cached=answer.is_cached,
        shadow_of=None,
        bucket=exchange.bucket,
    )
