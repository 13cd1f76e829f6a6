"""A store with versions, and a gateway that follows it; what the model answers is made up."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from tasks.adapters.release.golden_questions import keep_golden
from tasks.adapters.release.registry import Move, Registry, file_ref
from tasks.adapters.release.rollouts import Deployments
from tasks.core.records.answer import AnswerRecord
from tasks.core.release.golden_questions import Golden
from tasks.core.release.lineage import BASE, BaseFact, Manifest, PromptFact
from tasks.core.rollout.decision import RolloutRule, SignalRule
from tasks.core.rollout.plan import DeployConfig, RolloutDocument
from tasks.serving.gateway.served_model import ServedModel
from tasks.serving.rollout.rollout_router import RolloutRouter
from tasks.serving.rollout.store_follower import StoreFollower, follow_store
from tasks.serving.rollout.version_loader import open_champion
from tests.tasks.ledger_facts import verdict_facts
from tests.tasks.serving.live_gateway import AT, FakeEngine, Live, served

GOOD = "default is None"


BAD = "It calls foo_bar."  # which no source holds


RULE = RolloutRule(
    signals={"quality": SignalRule(better="higher", margin=0.25), "errors": SignalRule(better="lower", margin=0.25)},
    min_requests=60,
)


CANARY = DeployConfig(strategy="canary", shares=[0.3, 1.0], rule=RULE)


@dataclass
class Past:
    """The records and opinions that a gateway finds in its store."""

    answered: list[AnswerRecord] = field(default_factory=list)
    said: dict[str, float] = field(default_factory=dict)

    def records(self, since: datetime) -> list[AnswerRecord]:
        return [record for record in self.answered if datetime.fromisoformat(record.at) >= since]

    def opinions(self, _: datetime) -> Mapping[str, float]:
        return self.said


@dataclass
class Fleet:
    """A store with versions, and a gateway that follows it."""

    live: Live
    deployments: Deployments
    folder: Path
    texts: dict[str, str] = field(default_factory=dict)
    pauses: dict[str, float] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)
    engines: dict[str, FakeEngine] = field(default_factory=dict)
    past: Past = field(default_factory=Past)
    load_s: float = 0.0
    loads: list[str] = field(default_factory=list)
    follower: StoreFollower | None = None
    router: RolloutRouter | None = None

    @property
    def registry(self) -> Registry:
        return self.deployments.registry

    def version(self, text: str = GOOD) -> str:
        """Register a version that says `text` and return its digest."""
        path = self.folder / f"file-{len(self.texts)}"
        path.write_text(f"version {len(self.texts)}")
        manifest = Manifest(
            base=BaseFact(id="base", digest="b"),
            prompt=PromptFact(version=1, digest="p", passages=2),
            index_version="i",
            files={"adapter/weights": file_ref(path)},
        )
        digest = self.registry.register(manifest, {"adapter/weights": path})
        self.texts[digest] = text
        return digest

    def promote(self, digest: str) -> None:
        """Move the champion pointer, as the stage `promote` does."""
        entry = self.registry.ledger.append(verdict_facts(), f"verdict {digest} {time.time()}", at=AT)
        self.registry.move(Move("champion", digest, entry, AT, "test"))

    async def load(self, digest: str | None) -> ServedModel:
        await asyncio.sleep(self.load_s)
        digest = digest or BASE
        self.loads.append(digest)
        if digest in self.errors:
            raise self.errors[digest]
        open_ones = [engine for engine in self.engines.values() if not engine.is_closed]
        assert len(open_ones) < 2, "a third model was loaded"
        engine = self.engines[digest] = FakeEngine(self.texts.get(digest, GOOD), self.pauses.get(digest, 0.0))
        return served(engine, digest)

    def follow(self, **values: object) -> None:
        """Begin to serve what the store says, and to follow it."""
        config = self.live.gateway.config.model_copy(update={"follow_s": 0.05, "golden_check_s": 5.0, **values})
        self.live.gateway.config = config
        before = self.follower

        async def begin() -> None:
            await self.live.gateway.router.close()
            model = await open_champion(self.deployments, self.load, config, "gateway test")
            self.router = self.live.gateway.router = RolloutRouter(model)
            self.follower = follow_store(
                self.live.gateway, self.router, self.deployments, self.load, self.past, "g", self.live.url
            )
            self.live.tasks.append(asyncio.create_task(self.follower.run()))

        assert before is None
        assert self.live.loop is not None
        asyncio.run_coroutine_threadsafe(begin(), self.live.loop).result(20)

    def is_serving(self, digest: str) -> bool:
        assert self.router is not None
        return self.router.champion.model.digest == digest

    def wait(self, digest: str) -> None:
        self.live.wait(lambda: self.is_serving(digest))

    def rollout(self) -> RolloutDocument:
        document = self.deployments.rollout()
        assert document is not None
        return document

    def announce(self, digest: str, config: DeployConfig = CANARY, *, begun: bool = True) -> RolloutDocument:
        document = self.deployments.announce(digest, config, reason="test", by="test")
        assert document is not None
        if begun:
            self.live.wait(lambda: self.router is not None and self.router.rollout is not None)
        return document

    def ask(self, users: Sequence[str], **changes: Any) -> list[httpx.Response]:
        """Ask once for each user, several at once."""
        headers = {"Authorization": f"Bearer {self.live.user}"}
        with httpx.Client(base_url=self.live.url, headers=headers, timeout=20) as client, ThreadPoolExecutor(8) as pool:
            bodies = [{**CHAT, "user": user, **changes} for user in users]
            return list(pool.map(lambda body: client.post("/v1/chat/completions", json=body), bodies))

    def ask_until(self, is_done: Callable[[], bool], most: int = 6000) -> int:
        """Ask for ever new users until `is_done`; return how often."""
        asked = 0
        while not is_done():
            assert asked < most, self.state()
            replies = self.ask([f"user-{asked + number}" for number in range(60)])
            assert {reply.status_code for reply in replies} == {200}
            asked += 60
        return asked

    def state(self) -> Any:
        return self.live.get("/admin/rollout", self.live.admin).json()

    def reasons(self, kind: str) -> list[str]:
        entries = self.registry.ledger.entries()
        return [str(entry.content.get("reason", "")) for entry in entries if entry.kind == kind]


def golden(fleet: Fleet, digest: str, *held: str) -> None:
    keep_golden(fleet.registry.store, digest, [Golden(question=f"Q {text}?", holds=text) for text in held])


CHAT: Mapping[str, Any] = {"model": "ratchet", "messages": [{"role": "user", "content": "What is the default?"}]}
