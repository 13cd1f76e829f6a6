"""Who serves is told once, whoever moved it: real verdicts, rollouts and rollbacks, and a webhook that listens."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic import SecretStr

from flows.announcements import announce_changes, announce_changes_here, follow
from flows.commands.deploy import begin, finish_rollout, roll_back
from tasks.adapters.release.registry import Registry
from tasks.adapters.release.rollouts import Deployments
from tasks.adapters.storage.object_store import open_store
from tasks.settings import Settings
from tests.flows.conftest import Hook, wait_for
from tests.tasks.conftest import GOOD, Loop, load_bench

PROMOTED, ROLLED_BACK = "ratchet.model.promoted", "ratchet.model.rolled_back"


@pytest.fixture
def loop(settings: Settings, hook: Hook, repository: Path) -> Loop:
    """A curated checkout with a store and a webhook of its own, nothing trained yet."""
    heard = settings.model_copy(update={"alert_webhook_url": SecretStr(hook.url)})
    made = Loop(heard, load_bench(repository, "gate"))
    made.curate()
    return made


def deployments(loop: Loop) -> Deployments:
    return Deployments(Registry(open_store(loop.settings.store_url)))


def test_promotions_and_a_person_s_rollback_are_told_once_and_in_order(loop: Loop, hook: Hook) -> None:
    first, second = loop.turn(GOOD).candidate, loop.turn(GOOD, seed=1).candidate
    assert announce_changes(loop.settings) == [PROMOTED, PROMOTED]
    roll_back(loop.settings, "", "wrong prices")
    assert announce_changes_here(loop.settings) == [ROLLED_BACK]
    assert announce_changes(loop.settings) == announce_changes_here(loop.settings) == []
    assert [(told["event"], told["model"]) for told in hook.bodies] == [
        (PROMOTED, first),
        (PROMOTED, second),
        (ROLLED_BACK, first),
    ]
    assert (hook.bodies[0]["previous"], hook.bodies[1]["previous"]) == (None, first)
    assert hook.bodies[1]["reason"] == "the gate promoted it"
    assert (hook.bodies[2]["left"], hook.bodies[2]["reason"]) == (second, "wrong prices")
    entry = deployments(loop).registry.ledger.read(hook.bodies[2]["entry"])
    assert (entry.kind, entry.at) == ("pointer", hook.bodies[2]["at"])


def test_a_canary_that_a_gateway_rolls_back_or_finishes_is_told(loop: Loop, hook: Hook) -> None:
    first, second = loop.turn(GOOD).candidate, loop.turn(GOOD, seed=1).candidate
    roll_back(loop.settings, "", "back")
    announce_changes(loop.settings)
    hook.bodies.clear()
    for state, reason in (("rolled_back", "Errors got worse."), ("finished", "The candidate may take all.")):
        begin(loop.settings, second, "canary", "again")
        rollout = deployments(loop).rollout()
        assert rollout is not None
        assert announce_changes(loop.settings) == [], "a rollout that begins moves nobody yet"
        deployments(loop).end(rollout, state, reason, "gateway g")
        announce_changes(loop.settings)
    taken_back, promoted = hook.bodies
    assert (taken_back["event"], taken_back["model"], taken_back["left"]) == (ROLLED_BACK, first, second)
    assert (taken_back["reason"], taken_back["by"]) == ("Errors got worse.", "gateway g")
    assert (promoted["event"], promoted["model"], promoted["previous"]) == (PROMOTED, second, first)
    assert (promoted["reason"], promoted["by"]) == ("The candidate may take all.", "gateway g")


def test_a_version_that_a_gateway_refuses_is_told(loop: Loop, hook: Hook) -> None:
    first, second = loop.turn(GOOD).candidate, loop.turn(GOOD, seed=1).candidate
    announce_changes(loop.settings)
    pointer = deployments(loop).registry.pointer("champion")
    assert pointer is not None
    deployments(loop).refuse(pointer, "it fails its golden questions", "gateway g")
    assert announce_changes(loop.settings) == [ROLLED_BACK]
    told = hook.bodies[-1]
    assert (told["model"], told["left"], told["reason"]) == (first, second, "it fails its golden questions")


def test_a_rollout_that_a_person_finishes_is_told_as_a_promotion(loop: Loop, hook: Hook) -> None:
    second = [loop.turn(GOOD, seed=seed).candidate for seed in (0, 1)][1]
    roll_back(loop.settings, "", "back")
    begin(loop.settings, second, "ab", "again")
    finish_rollout(loop.settings, "clear")
    announce_changes(loop.settings)
    assert (hook.bodies[-1]["event"], hook.bodies[-1]["reason"]) == (PROMOTED, "clear")


def test_news_waits_until_somebody_can_hear_it(loop: Loop, hook: Hook) -> None:
    loop.turn(GOOD)
    deaf = loop.settings.model_copy(update={"alert_webhook_url": None})
    assert announce_changes_here(deaf) == []
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        assert announce_changes(loop.settings) == [], "its Prefect server is down for a moment"
    assert announce_changes_here(loop.settings) == [PROMOTED]
    assert len(hook.bodies) == 1


def test_whoever_follows_tells_within_seconds_and_survives_trouble_with_the_store(
    loop: Loop, hook: Hook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("flows.announcements.LOOK_S", 0.05)
    stop, position = threading.Event(), Path(loop.settings.store_url) / "told.json"
    position.parent.mkdir(parents=True)
    position.write_text("{")
    thread = threading.Thread(target=follow, args=(loop.settings, stop))
    thread.start()
    try:
        wait_for(lambda: "told.json is damaged" in caplog.text, "trouble is not said", 10)
        position.unlink()
        before = datetime.now(UTC)
        loop.turn(GOOD)
        wait_for(lambda: bool(hook.bodies), "nothing was told", 10)
        assert (datetime.now(UTC) - before).total_seconds() < 10
    finally:
        stop.set()
        thread.join()
    assert caplog.text.count("told.json is damaged") == 1
