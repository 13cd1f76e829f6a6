"""A gateway that follows a real store, over real HTTP; engines are fakes, and three of them at once are an error."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasks.adapters.inference.stream_engine import EngineLostError
from tasks.adapters.release.golden_questions import keep_golden
from tasks.adapters.release.registry import Move, Registry, file_ref
from tasks.adapters.release.rollouts import Deployments
from tasks.adapters.storage.object_store import open_store
from tasks.core.errors import DataError
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
from tests.tasks.serving.conftest import AT, FakeEngine, Live, Start, served

GOOD = "default is None"
BAD = "It calls foo_bar."  # which no source holds
RULE = RolloutRule(
    signals={"quality": SignalRule(better="higher", margin=0.25), "errors": SignalRule(better="lower", margin=0.25)},
    min_requests=60,
)
CANARY = DeployConfig(strategy="canary", shares=[0.3, 1.0], rule=RULE)
CHAT: Mapping[str, Any] = {"model": "ratchet", "messages": [{"role": "user", "content": "What is the default?"}]}


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


@pytest.fixture
def fleet(start: Start, tmp_path: Path) -> Fleet:
    """A gateway with an empty store."""
    live = start(concurrency=64, queue=200)
    return Fleet(live, Deployments(Registry(open_store(str(tmp_path / "store")))), tmp_path)


def test_three_swaps_and_a_rollback_under_load_drop_nothing_and_every_id_leads_to_its_model(fleet: Fleet) -> None:
    versions = [fleet.version(f"{word} {GOOD}") for word in ("alpha", "beta", "gamma", "delta")]
    fleet.promote(versions[0])
    fleet.follow()
    fleet.live.gateway.config = fleet.live.gateway.config.model_copy(update={"timeout_s": 20.0})
    stop, replies, failures = threading.Event(), [], []

    def client(number: int) -> None:
        headers = {"Authorization": f"Bearer {fleet.live.user}"}
        with httpx.Client(base_url=fleet.live.url, headers=headers, timeout=20) as http:
            while not stop.is_set():
                reply = http.post("/v1/chat/completions", json={**CHAT, "user": f"u{number}"})
                (replies if reply.status_code == 200 else failures).append(reply)

    with ThreadPoolExecutor(50) as pool:
        clients = [pool.submit(client, number) for number in range(50)]
        try:
            for digest in versions[1:]:
                fleet.live.wait(lambda: len(replies) > 50)
                fleet.engines[fleet.router.champion.model.digest].pause_s = 0.02  # type: ignore[union-attr]
                fleet.promote(digest)
                fleet.wait(digest)
                count = len(replies)
                fleet.live.wait(lambda count=count: len(replies) > count + 60)  # type: ignore[misc]
            began = time.monotonic()
            fleet.deployments.roll_back(None, "a drill", "test")
            fleet.wait(versions[2])
            took = time.monotonic() - began
            count = len(replies)
            fleet.live.wait(lambda: len(replies) > count + 60)
        finally:
            stop.set()
        for done in clients:
            done.result(20)
    assert not failures
    assert took < 2
    assert fleet.loads == versions  # the rollback loaded nothing
    records = {record.answer_id: record for record in fleet.live.kept.records}
    answered = {reply.json()["id"]: reply.json() for reply in replies}
    assert len(answered) == len(replies) == len(records)
    for answer_id, body in answered.items():
        record = records[answer_id]
        assert body["model"] == f"ratchet-{record.model[:12]}"
        assert body["choices"][0]["message"]["content"] == record.answer == fleet.texts[record.model]
    assert {record.model for record in records.values()} == set(versions)
    assert fleet.reasons("rollback") == ["a drill"]


def test_a_rollback_takes_back_one_version_after_the_other(fleet: Fleet) -> None:
    versions = [fleet.version() for _ in range(3)]
    for digest in versions:
        fleet.promote(digest)
    assert fleet.deployments.roll_back(None, "one", "test").model == versions[1]
    assert fleet.deployments.roll_back(None, "two", "test").model == versions[0]
    with pytest.raises(Exception, match="no version served, only the base model"):
        fleet.deployments.roll_back(None, "three", "test")
    assert fleet.registry.verify()


def test_before_there_is_a_champion_the_base_model_serves_and_the_first_one_takes_over(fleet: Fleet) -> None:
    fleet.follow()
    assert fleet.is_serving(BASE)
    first = fleet.version()
    fleet.promote(first)
    fleet.wait(first)
    assert fleet.state()["warm"] == [BASE]


def golden(fleet: Fleet, digest: str, *held: str) -> None:
    keep_golden(fleet.registry.store, digest, [Golden(question=f"Q {text}?", holds=text) for text in held])


def test_a_version_that_fails_its_golden_questions_is_moved_back_with_the_reason_and_nobody_notices(
    fleet: Fleet,
) -> None:
    first, second = fleet.version(), fleet.version("something else")
    golden(fleet, second, "is None", "default", "is NONE")
    fleet.promote(first)
    fleet.follow()
    fleet.promote(second)
    fleet.live.wait(lambda: bool(fleet.reasons("rollback")))
    assert {reply.json()["choices"][0]["message"]["content"] for reply in fleet.ask(["a", "b"])} == {GOOD}
    assert fleet.is_serving(first)
    assert "answered 0 of its 3 golden questions rightly" in fleet.reasons("rollback")[0]
    pointer = fleet.registry.pointer("champion")
    assert pointer is not None
    assert pointer.model == first
    assert fleet.engines[second].is_closed
    fleet.live.wait(lambda: second in fleet.state()["refused"])


def test_enough_right_answers_pass_and_are_not_recorded(fleet: Fleet) -> None:
    first, second = fleet.version(), fleet.version()
    golden(fleet, second, "is None", "default", "something it does not say")
    fleet.promote(first)
    fleet.follow()
    fleet.promote(second)
    fleet.wait(second)
    assert len(fleet.engines[second].requests) == 3
    assert not fleet.live.kept.records


@pytest.mark.parametrize("text", ["", " ?! "])
def test_a_version_without_golden_questions_must_say_something(fleet: Fleet, text: str) -> None:
    first, second = fleet.version(), fleet.version(text)
    fleet.promote(first)
    fleet.follow()
    fleet.promote(second)
    fleet.live.wait(lambda: bool(fleet.reasons("rollback")))
    assert "gave no text" in fleet.reasons("rollback")[0]
    assert fleet.is_serving(first)


def test_a_version_that_cannot_be_loaded_or_answers_too_late_is_moved_back(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.serving.rollout.version_loader.PAUSE_S", 0.01)
    first, damaged, lost, slow = (fleet.version() for _ in range(4))
    fleet.errors = {damaged: DataError("It is damaged."), lost: EngineLostError("The engine ended with code 9.")}
    fleet.promote(first)
    fleet.follow(golden_check_s=0.3)
    for number, digest in enumerate((damaged, lost), start=1):
        fleet.promote(digest)
        fleet.live.wait(lambda number=number: len(fleet.reasons("rollback")) == number)  # type: ignore[misc]
    fleet.texts[slow] = "word " * 50
    fleet.pauses[slow] = 0.05
    fleet.promote(slow)
    fleet.live.wait(lambda: len(fleet.reasons("rollback")) == 3)
    assert fleet.loads == [first, damaged, lost, lost, lost, slow]
    assert fleet.reasons("rollback")[:2] == ["It is damaged.", "The engine ended with code 9."]
    assert "did not answer its 1 golden questions within 0.3 s" in fleet.reasons("rollback")[2]
    assert fleet.is_serving(first)


def test_a_broken_first_champion_leaves_the_base_model_serving_and_is_not_tried_each_second(fleet: Fleet) -> None:
    fleet.follow()
    broken = fleet.version("")
    fleet.promote(broken)
    fleet.live.wait(lambda: broken in fleet.state()["refused"])
    time.sleep(0.3)
    assert fleet.is_serving(BASE)
    assert fleet.loads == [BASE, broken]


def test_a_gateway_that_starts_on_a_broken_champion_serves_the_one_before(fleet: Fleet) -> None:
    first, broken = fleet.version(), fleet.version("")
    fleet.promote(first)
    fleet.promote(broken)
    fleet.follow()
    assert fleet.is_serving(first)
    assert len(fleet.reasons("rollback")) == 1


def test_a_pointer_that_moves_back_while_a_version_loads_breaks_the_loading_off(fleet: Fleet) -> None:
    first, second = fleet.version(), fleet.version()
    fleet.promote(first)
    fleet.follow()
    fleet.load_s = 30.0
    fleet.promote(second)
    fleet.live.wait(lambda: fleet.state()["change"] != "")
    fleet.deployments.roll_back(None, "never mind", "test")
    fleet.live.wait(lambda: fleet.state()["change"] == "")
    assert fleet.is_serving(first)
    assert fleet.loads == [first]


def test_the_model_before_is_let_go_after_its_time(fleet: Fleet) -> None:
    first, second = fleet.version(), fleet.version()
    fleet.promote(first)
    fleet.follow(keep_warm_s=0.3)
    fleet.promote(second)
    fleet.wait(second)
    fleet.live.wait(lambda: fleet.engines[first].is_closed)
    fleet.deployments.roll_back(None, "late", "test")
    fleet.wait(first)
    assert fleet.loads == [first, second, first]


def test_an_equal_candidate_goes_to_all_and_becomes_the_champion(fleet: Fleet) -> None:
    first, second = fleet.version(f"alpha {GOOD}"), fleet.version(f"beta {GOOD}")
    fleet.promote(first)
    fleet.follow()
    fleet.announce(second)
    fleet.ask_until(lambda: fleet.is_serving(second))
    document = fleet.rollout()
    assert (document.state, len(document.steps)) == ("finished", 2)
    assert fleet.loads == [first, second]
    kinds = [entry.content["what"] for entry in fleet.registry.ledger.entries() if entry.kind == "rollout"]
    assert kinds == ["announced", "advanced", "finished"]
    assert fleet.registry.verify()
    fleet.deployments.roll_back(None, "a drill", "test")
    fleet.wait(first)  # it was kept warm
    assert fleet.loads == [first, second]


def test_a_worse_candidate_is_rolled_back_by_itself_with_the_evidence_in_the_ledger(fleet: Fleet) -> None:
    first, second = fleet.version(), fleet.version(BAD)
    fleet.promote(first)
    fleet.follow()
    fleet.announce(second)
    fleet.ask_until(lambda: fleet.rollout().state == "rolled_back")
    fleet.live.wait(lambda: fleet.engines[second].is_closed)
    assert fleet.is_serving(first)
    assert "Quality got worse" in fleet.reasons("rollout")[-1]
    (entry,) = [e for e in fleet.registry.ledger.entries() if e.content.get("what") == "rolled_back"]
    assert entry.content["decision"]["outcome"] == "ROLLBACK"  # type: ignore[index,call-overload]
    shown = [record for record in fleet.live.kept.records if record.model == second]
    assert 20 <= len(shown) < 1000
    assert fleet.state()["candidate"] is None


def test_a_candidate_that_fails_to_answer_is_rolled_back(fleet: Fleet) -> None:
    first, second = fleet.version(), fleet.version()
    fleet.promote(first)
    fleet.follow()
    fleet.announce(second)
    fleet.engines[second].error = EngineLostError("It broke.")
    fleet.ask([f"user-{number}" for number in range(120)])
    fleet.live.wait(lambda: not fleet.rollout().is_running)
    assert fleet.rollout().state == "rolled_back"
    assert {reply.status_code for reply in fleet.ask(["a", "b", "c", "d"])} == {200}


def test_the_same_asker_gets_the_same_model_and_names_get_just_that(fleet: Fleet) -> None:
    first, second = fleet.version(f"alpha {GOOD}"), fleet.version(f"beta {GOOD}")
    fleet.promote(first)
    fleet.follow()
    fleet.announce(second, DeployConfig(strategy="ab", ab_share=0.4))
    users = [f"u{number}" for number in range(30)]
    rounds = [[reply.json()["model"] for reply in fleet.ask(users)] for _ in range(3)]
    assert rounds[0] == rounds[1] == rounds[2]
    assert len(set(rounds[0])) == 2
    assert all(record.bucket is not None for record in fleet.live.kept.records)
    names = [model["id"] for model in fleet.live.get("/v1/models", fleet.live.user).json()["data"]]
    assert names == ["ratchet", f"ratchet-{first[:12]}", f"ratchet-{second[:12]}"]
    for name, digest in ((names[1], first), (names[2], second), ("champion", first), ("candidate", second)):
        assert {reply.json()["model"] for reply in fleet.ask(users[:8], model=name)} == {f"ratchet-{digest[:12]}"}
    asked = fleet.state()["requests"]
    assert asked["candidate"] + asked["champion"] == 90  # those who chose do not count


def test_a_comparison_shows_its_evidence_and_ends_by_hand_alone(fleet: Fleet) -> None:
    first, second = fleet.version(), fleet.version(BAD)
    fleet.promote(first)
    fleet.follow()
    document = fleet.announce(second, DeployConfig(strategy="ab", rule=RULE))

    def is_clear() -> bool:
        decision = fleet.state()["decision"]
        return bool(decision) and decision["outcome"] == "ROLLBACK"

    fleet.ask_until(is_clear)
    assert fleet.rollout().is_running
    metrics = fleet.live.get("/metrics", fleet.live.admin).text
    assert "ratchet_rollout_share 0.5" in metrics
    assert "ratchet_rollout_outcome -1.0" in metrics
    assert 'ratchet_rollout_requests{arm="candidate"}' in metrics
    fleet.deployments.end(document, "rolled_back", "worse", "test")
    fleet.live.wait(lambda: fleet.engines[second].is_closed)
    assert "ratchet_rollout_share NaN" in fleet.live.get("/metrics", fleet.live.admin).text


def test_a_rollout_that_is_finished_by_hand_makes_its_candidate_the_champion(fleet: Fleet) -> None:
    first, second = fleet.version(), fleet.version()
    fleet.promote(first)
    fleet.follow()
    document = fleet.announce(second, DeployConfig(strategy="shadow"))
    assert fleet.deployments.end(document, "finished", "looks well", "test").state == "finished"
    fleet.wait(second)
    assert fleet.loads == [first, second]
    assert fleet.deployments.end(document, "rolled_back", "too late", "test").state == "finished"


def test_a_shadow_answers_too_and_is_never_shown(fleet: Fleet) -> None:
    first, second = fleet.version(f"alpha {GOOD}"), fleet.version(f"beta {GOOD}")
    fleet.promote(first)
    fleet.follow()
    fleet.announce(second, DeployConfig(strategy="shadow", rule=RULE))
    replies = [fleet.ask([f"u{number}"])[0] for number in range(20)]
    assert {reply.json()["model"] for reply in replies} == {f"ratchet-{first[:12]}"}
    fleet.live.wait(lambda: len(fleet.live.kept.records) == 40)
    records = fleet.live.kept.records
    shown = {record.answer_id: record for record in records if record.shadow_of is None}
    unseen = [record for record in records if record.shadow_of is not None]
    assert {record.answer_id for record in shown.values()} == {reply.json()["id"] for reply in replies}
    assert {(record.arm, record.model, record.answer) for record in unseen} == {("shadow", second, f"beta {GOOD}")}
    assert {record.shadow_of for record in unseen} == set(shown)
    assert all(record.bucket == shown[record.shadow_of or ""].bucket for record in unseen)
    assert fleet.state()["requests"] == {"candidate": 20, "champion": 20}
    names = [model["id"] for model in fleet.live.get("/v1/models", fleet.live.user).json()["data"]]
    assert f"ratchet-{second[:12]}" not in names
    assert fleet.ask(["x"], model=f"ratchet-{second[:12]}")[0].status_code == 404


def test_a_shadow_that_hangs_or_fails_neither_delays_nor_fails_anything(fleet: Fleet) -> None:
    first, second = fleet.version(), fleet.version()
    fleet.promote(first)
    fleet.follow(shadows=2)
    fleet.announce(second, DeployConfig(strategy="shadow"))
    shadow = fleet.engines[second]
    shadow.is_held = True
    began = time.monotonic()
    assert {reply.status_code for reply in fleet.ask([f"u{n}" for n in range(20)])} == {200}
    assert time.monotonic() - began < 5
    assert fleet.state()["shadows_dropped"] == 18
    shadow.is_held, shadow.error = False, ValueError("a text of the prompt")
    fleet.live.wait(lambda: shadow.running == 0)
    assert fleet.ask(["y"])[0].status_code == 200
    fleet.live.wait(lambda: [r.status for r in fleet.live.kept.records if r.shadow_of].count("error") >= 1)


def test_shadows_give_way_as_soon_as_somebody_waits(start: Start, tmp_path: Path) -> None:
    fleet = Fleet(start(concurrency=1, queue=50), Deployments(Registry(open_store(str(tmp_path / "store")))), tmp_path)
    first, second = fleet.version(), fleet.version("word " * 200)
    fleet.promote(first)
    fleet.follow()
    fleet.announce(second, DeployConfig(strategy="shadow"))
    fleet.engines[second].pause_s = 0.02
    fleet.ask(["a"])
    fleet.live.wait(lambda: fleet.engines[second].running == 1)
    fleet.engines[first].pause_s = 0.2
    replies = fleet.ask(["b", "c", "d"])
    assert {reply.status_code for reply in replies} == {200}
    assert fleet.engines[second].cancelled >= 1
    assert fleet.state()["shadows_dropped"] >= 1


def test_a_restarted_gateway_goes_on_with_the_evidence_there_was(fleet: Fleet, start: Start) -> None:
    first, second = fleet.version(), fleet.version()
    fleet.promote(first)
    fleet.follow()
    slow = RULE.model_copy(update={"min_requests": 180})  # the last step is far from its end when the second is reached
    fleet.announce(second, CANARY.model_copy(update={"rule": slow}))
    asked = fleet.ask_until(lambda: len(fleet.rollout().steps) == 2) + len(fleet.ask([f"more-{n}" for n in range(40)]))
    fleet.live.wait(lambda: len(fleet.live.kept.records) == asked)
    fleet.live.wait(lambda: is_decided_on_all(fleet.state()))
    before = fleet.state()
    assert before["requests"]["candidate"] >= 40
    again = Fleet(start(), fleet.deployments, fleet.folder, texts=fleet.texts)
    again.past.answered = list(fleet.live.kept.records)
    again.follow()
    again.live.wait(lambda: again.router is not None and again.router.rollout is not None)
    after = again.state()
    assert after["champion"] == first
    assert (after["share"], after["requests"]) == (1.0, before["requests"])
    assert after["decision"]["findings"] == before["decision"]["findings"]


def is_decided_on_all(state: Any) -> bool:
    """Return whether the last decision counts every request of the step."""
    return bool(state["decision"]["requests"] == [state["requests"]["candidate"], state["requests"]["champion"]])


def test_feedback_rolls_a_candidate_back(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.serving.rollout.rollout_controller.FEEDBACK_EVERY_S", 0.1)
    first, second = fleet.version(), fleet.version()
    fleet.promote(first)
    fleet.follow()
    wary = RULE.model_copy(update={"min_requests": 100_000})
    fleet.announce(second, CANARY.model_copy(update={"rule": wary}))
    fleet.ask([f"u{number}" for number in range(300)])
    assert fleet.rollout().is_running
    fleet.past.said = {r.answer_id: 0.0 for r in fleet.live.kept.records if r.model == second}
    fleet.live.wait(lambda: fleet.rollout().state == "rolled_back")


def test_a_candidate_that_fails_its_probe_is_shown_to_nobody(fleet: Fleet) -> None:
    first, second = fleet.version(), fleet.version("")
    fleet.promote(first)
    fleet.follow()
    fleet.announce(second, begun=False)
    fleet.live.wait(lambda: not fleet.rollout().is_running)
    assert "gave no text" in (fleet.rollout().ending or "")
    assert fleet.is_serving(first)


def test_another_champion_ends_the_rollout(fleet: Fleet) -> None:
    first, second, third = (fleet.version() for _ in range(3))
    fleet.promote(first)
    fleet.follow()
    fleet.announce(second)
    fleet.promote(third)
    fleet.wait(third)
    fleet.live.wait(lambda: not fleet.rollout().is_running)
    assert fleet.rollout().state == "superseded"
    assert fleet.state()["candidate"] is None


def test_one_announcement_is_one_rollout_however_often_it_is_repeated(fleet: Fleet) -> None:
    first, second = fleet.version(), fleet.version()
    fleet.promote(first)
    made = [fleet.deployments.announce(second, CANARY, reason="", by="test", key="verdict 1") for _ in range(2)]
    assert made[0] == made[1]
    assert made[0] is not None
    fleet.deployments.end(made[0], "rolled_back", "worse", "test")
    again = fleet.deployments.announce(second, CANARY, reason="", by="test", key="verdict 1")
    assert again is not None
    assert again.state == "rolled_back"


def test_two_who_end_a_rollout_at_once_agree_on_how(fleet: Fleet) -> None:
    first, second = fleet.version(), fleet.version()
    fleet.promote(first)
    document = fleet.deployments.announce(second, CANARY, reason="", by="test")
    assert document is not None
    with ThreadPoolExecutor(8) as pool:
        ways = ["finished", "rolled_back"] * 4
        ends = list(pool.map(lambda way: fleet.deployments.end(document, way, way, "test").state, ways))  # type: ignore[arg-type]
    pointer = fleet.registry.pointer("champion")
    assert pointer is not None
    assert set(ends) == {fleet.rollout().state}
    assert pointer.model == (second if ends[0] == "finished" else first)
    assert fleet.registry.verify()


def test_the_store_knows_what_a_gateway_serves(fleet: Fleet) -> None:
    first = fleet.version()
    fleet.promote(first)
    fleet.follow()
    now = datetime.now().astimezone()
    fleet.live.wait(lambda: bool(fleet.deployments.heartbeats.alive(now)))
    (beat,) = fleet.deployments.heartbeats.alive(now)
    assert (beat.champion, beat.url) == (first, fleet.live.url)


def test_how_it_stands_is_for_administrators(fleet: Fleet) -> None:
    fleet.follow()
    assert fleet.live.get("/admin/rollout").status_code == 401
    assert fleet.live.get("/admin/rollout", fleet.live.user).status_code == 403
    state = fleet.state()
    assert (state["champion"], state["rollout"], state["summary"]) == (BASE, None, "there was no rollout yet")
    assert json.dumps(state)
