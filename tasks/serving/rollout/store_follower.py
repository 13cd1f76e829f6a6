"""The gateway follows the store: the champion pointer, and a rollout where one runs.

Each second it looks where the pointer stands. A version that is loaded already takes over at once; another one is
loaded beside the one that serves, answers its golden questions, and takes over then, all without a request being
dropped. The one before stays loaded for a while. A version that cannot be loaded or fails its questions is moved back,
with the reason in the ledger. There are never three models in memory: whoever is not needed goes before the next one
is loaded. Of a rollout it loads the candidate, counts the evidence of each answer, and in a canary takes the next step
or the candidate back. After a restart, evidence is counted again from the records.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Protocol

from tasks.adapters.inference.stream_engine import EngineLostError
from tasks.adapters.release.golden_questions import read_golden
from tasks.adapters.release.rollouts import Deployments
from tasks.adapters.system.clock import now_text
from tasks.core.digests import short
from tasks.core.errors import ExternalError, RatchetError
from tasks.core.records.answer import AnswerRecord
from tasks.core.release.lineage import BASE, Pointer
from tasks.core.rollout.decision import RolloutDecision
from tasks.core.rollout.evidence import RolloutEvidence
from tasks.core.rollout.plan import Heartbeat, RolloutDocument
from tasks.serving.config import ServeConfig
from tasks.serving.gateway.gateway import Exchange, Gateway
from tasks.serving.gateway.router import CHAMPION, Arm
from tasks.serving.gateway.served_model import ServedModel
from tasks.serving.rollout.golden_probe import probe
from tasks.serving.rollout.rollout_router import CANDIDATE, SHADOW, RolloutRouter
from tasks.serving.rollout.shadow import Shadows

logger = logging.getLogger(__name__)

BEAT_S = 5.0
HEAR_S = 10.0  # between two looks for feedback
TRIES, PAUSE_S = 3, 2.0  # of an engine that is lost while its version is brought in
OUTCOMES = {"ADVANCE": 1.0, "WAIT": 0.0, "ROLLBACK": -1.0}

Load = Callable[[str | None], Awaitable[ServedModel]]


class History(Protocol):
    """What was answered and said before, for evidence."""

    def records(self, since: datetime) -> Iterable[AnswerRecord]:
        """Return the records of answers since then."""

    def opinions(self, since: datetime) -> Mapping[str, float]:
        """Return what was said about answers since then."""


async def open_champion(deployments: Deployments, load: Load, config: ServeConfig, by: str) -> ServedModel:
    """Return the champion, running, or what served before it where it fails its golden questions.

    Raises what loading raises; DataError where the champion fails and there was nothing before.
    """
    pointer = await asyncio.to_thread(deployments.registry.pointer, "champion")
    if pointer is None:
        return await load(None)
    model, fault = await _bring(pointer.model, deployments, load, config)
    if model is not None:
        return model
    logger.error("%s", fault)
    before = await asyncio.to_thread(deployments.refuse, pointer, fault, by)
    return await load(before.model if before else None)


async def _bring(
    digest: str, deployments: Deployments, load: Load, config: ServeConfig
) -> tuple[ServedModel | None, str]:
    """Return the version, running and probed, or None and why it must not serve.

    Raises ExternalError where that cannot be told now, the store being out of reach.
    """
    for number in range(1, TRIES + 1):
        try:
            return await _load_and_probe(digest, deployments, load, config)
        except EngineLostError as error:
            if number == TRIES:
                return None, str(error)
            await asyncio.sleep(PAUSE_S)
        except ExternalError:
            raise
        except RatchetError as error:
            return None, str(error)
    raise AssertionError  # the last try returns


async def _load_and_probe(
    digest: str, deployments: Deployments, load: Load, config: ServeConfig
) -> tuple[ServedModel | None, str]:
    golden = await asyncio.to_thread(read_golden, deployments.registry.store, digest)
    model = await load(digest)
    try:
        fault = await probe(model, golden, config)
    except BaseException:
        await model.close()
        raise
    if fault is None:
        return model, ""
    await model.close()
    return None, fault


class Deployment:
    """Keeps what one gateway serves in step with its store."""

    def __init__(
        self,
        gateway: Gateway,
        router: RolloutRouter,
        deployments: Deployments,
        load: Load,
        history: History,
        *,
        name: str,
        url: str,
    ) -> None:
        self._gateway, self._router, self._deployments = gateway, router, deployments
        self._load, self._history, self._config = load, history, gateway.config
        self._name, self._url, self._by = name, url, f"gateway {name}"
        self._document: RolloutDocument | None = None
        self._evidence: RolloutEvidence | None = None
        self._decision: RolloutDecision | None = None
        self._has_news = False
        self._heard_at = self._beat_at = 0.0
        self._last_beat: Heartbeat | None = None
        self._change: asyncio.Task[None] | None = None
        self._change_name = self._loading = ""
        self._refused: dict[str, str] = {}
        self._refused_entries: set[str] = set()
        self._retiring: set[asyncio.Task[None]] = set()
        self._trouble = ""
        self._shadows = Shadows(gateway, self._config.shadows, self._observe)
        gateway.on_record = self._on_record
        gateway.rollout = self.state
        self._watch()

    async def run(self) -> None:
        """Follow the store until cancelled."""
        try:
            while True:
                await self._look_safely()
                await asyncio.sleep(self._config.follow_s)
        finally:
            await self._break_off()
            await self._shadows.close()
            with suppress(RatchetError):
                self._deployments.heartbeats.write(self._heartbeat().model_copy(update={"is_over": True}))

    async def _look_safely(self) -> None:
        """Look once; trouble, with the store say, is said once and tried again: what serves goes on serving."""
        try:
            await self.look()
            self._trouble = ""
        except RatchetError as error:
            sentence = str(error)
            if sentence != self._trouble:
                logger.warning("%s", sentence)
            self._trouble = sentence
        except Exception:
            logger.exception("following the store failed; what serves goes on serving")

    async def look(self) -> None:
        """Look once what the store wants, and do the next thing towards it."""
        pointer, document = await asyncio.to_thread(self._read)
        self._document = document
        wanted = pointer.model if pointer else BASE
        is_refused = pointer is not None and pointer.entry in self._refused_entries
        if wanted != self._served and not is_refused:
            assert pointer is not None or wanted == BASE
            await self._follow(pointer, wanted)
        elif document is not None and document.is_running and document.champion == (pointer and pointer.model):
            await self._roll(document)
        else:
            await self._without_rollout(document, pointer)
        self._expire()
        await self._beat()

    def state(self) -> Mapping[str, Any]:
        """Return how things stand, as `/admin/rollout` shows it."""
        evidence, router = self._evidence, self._router
        return {
            **self._heartbeat().model_dump(mode="json"),
            "rollout": self._document.model_dump(mode="json") if self._document else None,
            "summary": self._document.sentence() if self._document else "there was no rollout yet",
            "share": router.rollout.share if router.rollout else None,
            "requests": dict(evidence.requests) if evidence else None,
            "shadows_dropped": self._shadows.dropped,
        }

    def rollout_sentence(self) -> str | None:
        """Return how the rollout stands, for people; None where there was none."""
        return self._document.sentence() if self._document else None

    @property
    def _served(self) -> str:
        return self._router.champion.model.digest

    def _read(self) -> tuple[Pointer | None, RolloutDocument | None]:
        return self._deployments.registry.pointer("champion"), self._deployments.rollout()

    async def _follow(self, pointer: Pointer | None, wanted: str) -> None:
        """Let `wanted` serve: at once where it is loaded, else begin to load it."""
        router = self._router
        if router.candidate is not None and router.candidate.model.digest == wanted:
            router.promote()
        elif router.warm is not None and router.warm.model.digest == wanted:
            self._retire(router.drop_candidate())
            router.return_to_warm()
        else:
            name = f"champion {wanted} {pointer.entry if pointer else ''}"
            return await self._begin(name, wanted, lambda: self._bring_champion(pointer, wanted))
        logger.info("%s serves", router.champion.model.name)
        self._forget_rollout()
        await self._beat()
        return await self._break_off()

    async def _bring_champion(self, pointer: Pointer | None, wanted: str) -> None:
        self._forget_rollout()
        await self._make_room()
        model, fault = await _bring(wanted, self._deployments, self._load, self._config)
        if model is not None:
            self._router.swap(model)
            self._refused.pop(wanted, None)
            logger.info("%s serves", model.name)
        elif pointer is not None:
            logger.error("%s", fault)
            self._refused[wanted] = fault
            await asyncio.to_thread(self._deployments.refuse, pointer, fault, self._by)
            self._refused_entries.add(pointer.entry)

    async def _roll(self, document: RolloutDocument) -> None:
        """Go on with the rollout that runs, or begin it here."""
        router = self._router
        if router.rollout is not None and router.rollout.id == document.id:
            self._catch_up(document)
            await self._hear()
            await self._decide(document)
        else:
            await self._begin(f"rollout {document.id}", document.candidate, lambda: self._bring_candidate(document))

    async def _bring_candidate(self, document: RolloutDocument) -> None:
        self._forget_rollout()
        await self._make_room()
        model, fault = await _bring(document.candidate, self._deployments, self._load, self._config)
        if model is None:
            logger.error("%s", fault)
            self._refused[document.candidate] = fault
            await asyncio.to_thread(self._deployments.end, document, "rolled_back", fault, self._by)
            return
        try:
            evidence = await asyncio.to_thread(self._count_again, document)
        except BaseException:
            await model.close()
            raise
        self._refused.pop(document.candidate, None)
        self._evidence, self._decision, self._has_news = evidence, evidence.decide(), True
        self._router.begin(document, model)
        logger.info("%s", document.sentence())

    def _count_again(self, document: RolloutDocument) -> RolloutEvidence:
        since = datetime.fromisoformat(document.steps[0])
        return RolloutEvidence.rebuilt(document, self._history.records(since), self._history.opinions(since))

    def _catch_up(self, document: RolloutDocument) -> None:
        """Take the steps that another gateway, or this one's last look, has taken."""
        assert self._evidence is not None
        while len(self._evidence.rollout.steps) < len(document.steps):
            number = len(self._evidence.rollout.steps) + 1
            self._evidence.next_step(document.model_copy(update={"steps": document.steps[:number]}))
            self._has_news = True
        self._router.rollout = document

    async def _hear(self) -> None:
        """Count what was said about the answers so far."""
        if time.monotonic() - self._heard_at < HEAR_S or self._evidence is None:
            return
        self._heard_at = time.monotonic()
        since = datetime.fromisoformat(self._evidence.rollout.steps[0])
        opinions = await asyncio.to_thread(self._history.opinions, since)
        self._has_news |= self._evidence.hear(opinions)

    async def _decide(self, document: RolloutDocument) -> None:
        """Look at the evidence, and in a canary act on it."""
        if not self._has_news or self._evidence is None:
            return
        self._has_news = False
        decision = self._decision = self._evidence.decide()
        if document.strategy != "canary" or decision.outcome == "WAIT":
            return
        if decision.outcome == "ROLLBACK":
            self._retire(self._router.drop_candidate())
            await self._end(document, "rolled_back", " ".join(decision.reasons), decision)
        elif document.is_last_step:
            await self._end(document, "finished", decision.headline, decision)
        else:
            later = await asyncio.to_thread(self._deployments.advance, document, decision, self._by)
            self._document = later
            if later.is_running:
                self._catch_up(later)

    async def _end(self, document: RolloutDocument, state: Any, reason: str, decision: RolloutDecision) -> None:
        logger.info("rollout %s: %s", document.id, reason)
        self._document = await asyncio.to_thread(self._deployments.end, document, state, reason, self._by, decision)

    async def _without_rollout(self, document: RolloutDocument | None, pointer: Pointer | None) -> None:
        """Serve the champion alone, and close a rollout that the pointer has overtaken."""
        await self._break_off()
        if self._router.candidate is not None:
            self._retire(self._router.drop_candidate())
            self._forget_rollout()
        if document is not None and document.is_running:
            is_done = pointer is not None and pointer.model == document.candidate
            reason = f"{short(pointer.model) if pointer else 'nothing'} is the champion now"
            state: Any = "finished" if is_done else "superseded"
            self._document = await asyncio.to_thread(self._deployments.end, document, state, reason, self._by)

    def _forget_rollout(self) -> None:
        self._evidence, self._decision = None, None

    def _on_record(self, exchange: Exchange, record: AnswerRecord) -> None:
        self._observe(record)
        candidate = self._router.candidate
        if candidate is None or candidate.name != SHADOW or exchange.bucket is None:
            return
        if record.status == "ok" and not record.cached:
            self._shadows.offer(exchange, candidate)

    def _observe(self, record: AnswerRecord) -> None:
        if self._evidence is not None:
            self._evidence.observe(record)
            self._has_news = True

    async def _begin(self, name: str, digest: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin a change that takes time, unless it is under way; another one is broken off for it."""
        if self._change is not None and self._change.done():
            change, self._change = self._change, None
            change.result()  # raises what went wrong; the next look tries again
            return
        if self._change is not None and self._change_name == name:
            return
        await self._break_off()
        self._change, self._change_name, self._loading = asyncio.create_task(work()), name, digest

    async def _break_off(self) -> None:
        change, self._change = self._change, None
        if change is None:
            return
        change.cancel()
        with suppress(asyncio.CancelledError, RatchetError):
            await change

    async def _make_room(self) -> None:
        """Free all but the champion, and wait until that is done."""
        self._retire(self._router.drop_candidate())
        self._retire(self._router.drop_warm())
        if self._retiring:
            await asyncio.wait(self._retiring)  # whoever is broken off here does not break them off

    def _retire(self, arm: Arm | None) -> None:
        if arm is not None:
            task = asyncio.create_task(arm.retire())
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    def _expire(self) -> None:
        router = self._router
        if router.warm is not None and time.monotonic() - router.warm_since > self._config.keep_warm_s:
            self._retire(router.drop_warm())

    async def _beat(self) -> None:
        beat = self._heartbeat()
        unlike = {"at": beat.at, "decision": beat.decision}
        is_same = self._last_beat is not None and beat == self._last_beat.model_copy(update=unlike)
        if is_same and time.monotonic() - self._beat_at < BEAT_S:
            return
        await asyncio.to_thread(self._deployments.heartbeats.write, beat)
        self._last_beat, self._beat_at = beat, time.monotonic()

    def _heartbeat(self) -> Heartbeat:
        router, change = self._router, self._change
        return Heartbeat(
            gateway=self._name,
            url=self._url,
            at=now_text(),
            champion=self._served,
            candidate=router.candidate.model.digest if router.candidate else None,
            warm=[router.warm.model.digest] if router.warm else [],
            change=f"loading {short(self._loading)}" if change is not None and not change.done() else "",
            refused=dict(self._refused),
            rollout=router.rollout.id if router.rollout else None,
            decision=self._decision,
        )

    def _watch(self) -> None:
        """Show the rollout among the figures; NaN where there is none."""
        metrics = self._gateway.metrics
        metrics.gauge("ratchet_rollout_share", "Of the askers that get the candidate's answers.", self._share)
        metrics.gauge(
            "ratchet_rollout_outcome",
            "What the evidence says: 1 advance, 0 wait, -1 roll back.",
            lambda: OUTCOMES[self._decision.outcome] if self._decision else float("nan"),
        )
        metrics.gauge_each(
            "ratchet_rollout_requests",
            "Answers of an arm at this step.",
            "arm",
            {CANDIDATE: lambda: self._requests(CANDIDATE), CHAMPION: lambda: self._requests(CHAMPION)},
        )
        metrics.gauge("ratchet_shadows_dropped", "Unseen answers left out under load.", lambda: self._shadows.dropped)

    def _share(self) -> float:
        return self._router.rollout.share if self._router.rollout else float("nan")

    def _requests(self, arm: str) -> float:
        served: Mapping[Any, int] = self._evidence.requests if self._evidence else {}
        return float(served.get(arm, float("nan")))
