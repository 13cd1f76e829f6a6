"""A gateway that follows a real store, over real HTTP; engines are fakes, and three of them at once are an error."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import httpx
import pytest

from tasks.adapters.inference.stream_engine import EngineLostError
from tasks.core.errors import DataError
from tasks.core.release.lineage import BASE
from tests.tasks.serving.rollout.fleet import CHAT, GOOD, Fleet, golden


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


def test_the_store_knows_what_a_gateway_serves(fleet: Fleet) -> None:
    first = fleet.version()
    fleet.promote(first)
    fleet.follow()
    now = datetime.now().astimezone()
    fleet.live.wait(lambda: bool(fleet.deployments.heartbeats.alive(now)))
    (beat,) = fleet.deployments.heartbeats.alive(now)
    assert (beat.champion, beat.url) == (first, fleet.live.url)
