"""The gateway follows the store: the champion pointer, and a rollout where one runs.

Each second it looks where the pointer stands. A version that is loaded already takes over at once; another one is
loaded beside the one that serves, answers its golden questions, and takes over then, all without a request being
dropped. The one before stays loaded for a while. A version that cannot be loaded or fails its questions is moved back,
with the reason in the ledger. There are never three models in memory: whoever is not needed goes before the next one
is loaded. What to do next is `tasks/core/rollout/next_action.py`; a rollout is carried out by `rollout_controller.py`.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from tasks.adapters.release.rollouts import Deployments
from tasks.core.errors import RatchetError
from tasks.core.release.lineage import Pointer
from tasks.core.rollout.next_action import (
    Action,
    ContinueRollout,
    LoadCandidate,
    LoadChampion,
    PromoteCandidate,
    ReturnToWarm,
    ServeChampionAlone,
    next_action,
)
from tasks.core.rollout.plan import Heartbeat, RolloutDocument
from tasks.serving.gateway.gateway import Gateway
from tasks.serving.rollout.heartbeat import HeartbeatWriter
from tasks.serving.rollout.memory import Loading, Memory
from tasks.serving.rollout.rollout_controller import History, RolloutController
from tasks.serving.rollout.rollout_metrics import show_rollout
from tasks.serving.rollout.rollout_router import RolloutRouter
from tasks.serving.rollout.version_loader import Load, load_checked

logger = logging.getLogger(__name__)


def follow_store(
    gateway: Gateway, router: RolloutRouter, deployments: Deployments, load: Load, history: History, name: str, url: str
) -> "StoreFollower":
    """Return what keeps the gateway in step with its store; it begins with `run`."""
    by = f"gateway {name}"
    memory = Memory(router, gateway.config.keep_warm_s)
    controller = RolloutController(gateway, router, deployments, history, memory, by)
    follower = StoreFollower(gateway, router, deployments, load, controller, memory, name=name, url=url)
    gateway.attach(controller.on_record, follower.state)
    show_rollout(gateway.metrics, router, controller)
    return follower


class StoreFollower:
    """Keeps what one gateway serves in step with its store."""

    def __init__(
        self,
        gateway: Gateway,
        router: RolloutRouter,
        deployments: Deployments,
        load: Load,
        controller: RolloutController,
        memory: Memory,
        *,
        name: str,
        url: str,
    ) -> None:
        self._router, self._deployments, self._load = router, deployments, load
        self._config, self._controller, self._memory = gateway.config, controller, memory
        self._by = f"gateway {name}"
        self._loading = Loading()
        self._heartbeats = HeartbeatWriter(deployments.heartbeats, name, url)
        self._rollout: RolloutDocument | None = None
        self._refused: dict[str, str] = {}
        self._refused_entries: set[str] = set()
        self._trouble = ""

    async def run(self) -> None:
        """Follow the store until cancelled."""
        try:
            while True:
                await self._look_safely()
                await asyncio.sleep(self._config.follow_s)
        finally:
            await self._loading.cancel()
            await self._controller.shadows.close()
            with suppress(RatchetError):
                self._heartbeats.write_last(self._heartbeat())

    async def look(self) -> None:
        """Look once what the store wants, and do the next thing towards it."""
        pointer, self._rollout = await asyncio.to_thread(self._read)
        await self._do(next_action(pointer, self._rollout, self._router.loaded(), self._refused_entries))
        self._memory.expire()
        await self._beat()

    def state(self) -> Mapping[str, Any]:
        """Return how things stand, as `/admin/rollout` shows it."""
        evidence, router = self._controller.evidence, self._router
        return {
            **self._heartbeat().model_dump(mode="json"),
            "rollout": self._rollout.model_dump(mode="json") if self._rollout else None,
            "summary": self.rollout_sentence() or "there was no rollout yet",
            "share": router.rollout.share if router.rollout else None,
            "requests": dict(evidence.requests) if evidence else None,
            "shadows_dropped": self._controller.shadows.dropped,
        }

    def rollout_sentence(self) -> str | None:
        """Return how the rollout stands, for people; None where there was none."""
        return self._rollout.sentence() if self._rollout else None

    async def _look_safely(self) -> None:
        """Look once. Trouble, with the store say, is logged once and tried again: what serves goes on serving."""
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

    def _read(self) -> tuple[Pointer | None, RolloutDocument | None]:
        return self._deployments.registry.pointer("champion"), self._deployments.rollout()

    async def _do(self, action: Action) -> None:
        match action:
            case PromoteCandidate():
                self._router.promote()
                await self._took_over()
            case ReturnToWarm():
                self._memory.retire(self._router.drop_candidate())
                self._router.return_to_warm()
                await self._took_over()
            case LoadChampion(model=model, pointer=pointer):
                name = f"champion {model} {pointer.entry if pointer else ''}"
                await self._loading.begin(name, model, lambda: self._load_champion(action))
            case LoadCandidate(rollout=rollout):
                work = lambda: self._load_candidate(rollout)  # noqa: E731 (each case has its own)
                await self._loading.begin(f"rollout {rollout.id}", rollout.candidate, work)
            case ContinueRollout(rollout=rollout):
                self._rollout = await self._controller.go_on(rollout)
            case ServeChampionAlone():
                await self._serve_alone(action)

    async def _took_over(self) -> None:
        logger.info("%s serves", self._router.champion.model.name)
        self._controller.forget()
        await self._beat()
        await self._loading.cancel()

    async def _load_champion(self, wanted: LoadChampion) -> None:
        self._controller.forget()
        await self._memory.make_room()
        model, fault = await load_checked(wanted.model, self._deployments, self._load, self._config)
        if model is not None:
            self._router.swap(model)
            self._refused.pop(wanted.model, None)
            logger.info("%s serves", model.name)
        elif wanted.pointer is not None:
            logger.error("%s", fault)
            self._refused[wanted.model] = fault
            await asyncio.to_thread(self._deployments.refuse, wanted.pointer, fault, self._by)
            self._refused_entries.add(wanted.pointer.entry)

    async def _load_candidate(self, rollout: RolloutDocument) -> None:
        self._controller.forget()
        await self._memory.make_room()
        model, fault = await load_checked(rollout.candidate, self._deployments, self._load, self._config)
        if model is None:
            logger.error("%s", fault)
            self._refused[rollout.candidate] = fault
            await asyncio.to_thread(self._deployments.end, rollout, "rolled_back", fault, self._by)
            return
        self._refused.pop(rollout.candidate, None)
        await self._controller.begin(rollout, model)

    async def _serve_alone(self, action: ServeChampionAlone) -> None:
        await self._loading.cancel()
        if self._router.candidate is not None:
            self._memory.retire(self._router.drop_candidate())
            self._controller.forget()
        if action.ending is not None:
            end = action.ending
            self._rollout = await asyncio.to_thread(self._deployments.end, end.rollout, end.state, end.reason, self._by)

    async def _beat(self) -> None:
        await asyncio.to_thread(self._heartbeats.write, self._heartbeat())

    def _heartbeat(self) -> Heartbeat:
        loaded, loading = self._router.loaded(), self._loading.digest
        return self._heartbeats.heartbeat(loaded, loading, self._refused, self._controller.decision)
