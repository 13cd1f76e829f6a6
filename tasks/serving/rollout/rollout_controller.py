"""A rollout as one gateway carries it out: it counts the evidence of each answer and, in a canary, acts on it.

A canary takes the next step or the candidate back; the other strategies end by hand. After a restart, evidence is
counted again from the records.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

from tasks.adapters.release.rollouts import Deployments
from tasks.core.records.answer import AnswerRecord
from tasks.core.rollout.decision import RolloutDecision
from tasks.core.rollout.evidence import RolloutEvidence
from tasks.core.rollout.plan import RolloutDocument, RolloutEnd
from tasks.serving.gateway.gateway import Exchange, Gateway
from tasks.serving.gateway.served_model import ServedModel
from tasks.serving.rollout.memory import Memory
from tasks.serving.rollout.rollout_router import SHADOW, RolloutRouter
from tasks.serving.rollout.shadow import Shadows

logger = logging.getLogger(__name__)

FEEDBACK_EVERY_S = 10.0


class History(Protocol):
    """What was answered and said before, for evidence."""

    def records(self, since: datetime) -> Iterable[AnswerRecord]:
        """Return the records of answers since then."""

    def opinions(self, since: datetime) -> Mapping[str, float]:
        """Return what was said about answers since then."""


class RolloutController:
    """Evidence and decisions of the rollout that runs in one gateway."""

    def __init__(
        self,
        gateway: Gateway,
        router: RolloutRouter,
        deployments: Deployments,
        history: History,
        memory: Memory,
        by: str,
    ) -> None:
        self._router, self._deployments, self._history = router, deployments, history
        self._memory, self._by = memory, by
        self.evidence: RolloutEvidence | None = None
        self.decision: RolloutDecision | None = None
        self.shadows = Shadows(gateway, gateway.config.shadows, self.observe)
        self._is_undecided = False
        """Whether there is evidence that the last decision does not count."""
        self._feedback_at = 0.0

    def forget(self) -> None:
        """Leave the evidence of a rollout that is over."""
        self.evidence, self.decision = None, None

    def on_record(self, exchange: Exchange, record: AnswerRecord) -> None:
        """Count an answer that was shown, and let a shadow answer the same question."""
        self.observe(record)
        candidate = self._router.candidate
        if candidate is None or candidate.name != SHADOW or exchange.bucket is None:
            return
        if record.status == "ok" and not record.cached:
            self.shadows.offer(exchange, candidate)

    def observe(self, record: AnswerRecord) -> None:
        """Count an answer, shown or not."""
        if self.evidence is not None:
            self.evidence.observe(record)
            self._is_undecided = True

    async def begin(self, rollout: RolloutDocument, model: ServedModel) -> None:
        """Let the candidate, running, take its share, with the evidence that the records hold already."""
        try:
            evidence = await asyncio.to_thread(self._recount, rollout)
        except BaseException:
            await model.close()
            raise
        self.evidence, self.decision, self._is_undecided = evidence, evidence.decide(), True
        self._router.begin(rollout, model)
        logger.info("%s", rollout.sentence())

    async def go_on(self, rollout: RolloutDocument) -> RolloutDocument:
        """Take steps that others took, hear feedback, decide, and act on it; return the rollout as it is then."""
        self._catch_up(rollout)
        await self._hear_feedback()
        return await self._decide(rollout)

    def _recount(self, rollout: RolloutDocument) -> RolloutEvidence:
        since = datetime.fromisoformat(rollout.steps[0])
        return RolloutEvidence.rebuilt(rollout, self._history.records(since), self._history.opinions(since))

    def _catch_up(self, rollout: RolloutDocument) -> None:
        """Take the steps that another gateway, or this one's last decision, has taken."""
        assert self.evidence is not None
        while len(self.evidence.rollout.steps) < len(rollout.steps):
            number = len(self.evidence.rollout.steps) + 1
            self.evidence.next_step(rollout.model_copy(update={"steps": rollout.steps[:number]}))
            self._is_undecided = True
        self._router.rollout = rollout

    async def _hear_feedback(self) -> None:
        """Count what was said about the answers so far."""
        if time.monotonic() - self._feedback_at < FEEDBACK_EVERY_S or self.evidence is None:
            return
        self._feedback_at = time.monotonic()
        since = datetime.fromisoformat(self.evidence.rollout.steps[0])
        opinions = await asyncio.to_thread(self._history.opinions, since)
        self._is_undecided |= self.evidence.hear(opinions)

    async def _decide(self, rollout: RolloutDocument) -> RolloutDocument:
        """Look at the evidence, and in a canary act on it."""
        if not self._is_undecided or self.evidence is None:
            return rollout
        self._is_undecided = False
        decision = self.decision = self.evidence.decide()
        if rollout.strategy != "canary" or decision.outcome == "WAIT":
            return rollout
        if decision.outcome == "ROLLBACK":
            self._memory.retire(self._router.drop_candidate())
            return await self._end(rollout, "rolled_back", " ".join(decision.reasons), decision)
        if rollout.is_last_step:
            return await self._end(rollout, "finished", decision.headline, decision)
        later = await asyncio.to_thread(self._deployments.advance, rollout, decision, self._by)
        if later.is_running:
            self._catch_up(later)
        return later

    async def _end(
        self, rollout: RolloutDocument, state: RolloutEnd, reason: str, decision: RolloutDecision
    ) -> RolloutDocument:
        logger.info("rollout %s: %s", rollout.id, reason)
        return await asyncio.to_thread(self._deployments.end, rollout, state, reason, self._by, decision)
