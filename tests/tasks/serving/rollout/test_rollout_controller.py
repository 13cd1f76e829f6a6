"""A rollout in one gateway: canary, comparison and their end, by evidence, by hand or by another champion."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tasks.adapters.inference.stream_engine import EngineLostError
from tasks.core.release.lineage import BASE
from tasks.core.rollout.plan import DeployConfig
from tests.tasks.serving.live_gateway import Start
from tests.tasks.serving.rollout.fleet import BAD, CANARY, GOOD, RULE, Fleet


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


def test_how_it_stands_is_for_administrators(fleet: Fleet) -> None:
    fleet.follow()
    assert fleet.live.get("/admin/rollout").status_code == 401
    assert fleet.live.get("/admin/rollout", fleet.live.user).status_code == 403
    state = fleet.state()
    assert (state["champion"], state["rollout"], state["summary"]) == (BASE, None, "there was no rollout yet")
    assert json.dumps(state)
