"""What the commands tell the store, in-process; tests/tasks/serving holds the gateways that follow."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.commands.deploy import begin, deploy_config, finish_rollout, roll_back
from flows.commands.status import read_status, status_text
from tasks.adapters.release.explain import explain
from tasks.adapters.release.registry import Registry
from tasks.adapters.release.rollouts import Deployments
from tasks.adapters.storage.object_store import open_store
from tasks.adapters.system.clock import now_text
from tasks.core.errors import ConfigError
from tasks.core.rollout.plan import DeployConfig, Heartbeat
from tasks.settings import Settings
from tests.tasks.conftest import BAD, EQUAL, GOOD, Loop, load_bench


@pytest.fixture
def loop(settings: Settings, repository: Path) -> Loop:
    """A curated checkout with a store of its own, nothing trained yet."""
    made = Loop(settings, load_bench(repository, "gate"))
    made.curate()
    return made


def deployments(loop: Loop) -> Deployments:
    return Deployments(Registry(open_store(loop.settings.store_url)))


def champion(loop: Loop) -> str:
    pointer = deployments(loop).registry.pointer("champion")
    assert pointer is not None
    return pointer.model


def test_the_shipped_values_are_the_defaults_and_a_strategy_can_be_given() -> None:
    assert deploy_config(None) == DeployConfig()
    assert deploy_config("canary").strategy == "canary"


def test_a_rollback_goes_to_the_version_before_with_its_reason_in_the_ledger(loop: Loop) -> None:
    first, second = loop.turn(GOOD).candidate, loop.turn(GOOD, seed=1).candidate
    said = roll_back(loop.settings, "", "wrong prices")
    assert said == f"The champion is {first[:12]}. No gateway is running; the next one follows."
    assert champion(loop) == first
    assert f"rollback   from {second[:12]} to {first[:12]}: wrong prices" in status_text(read_status(loop.settings))
    assert "rolled back: wrong prices" in explain(open_store(loop.settings.store_url), second)
    assert "brought back: wrong prices" in explain(open_store(loop.settings.store_url), "champion")
    roll_back(loop.settings, second[:10], "it was right after all")
    assert champion(loop) == second


def test_a_rollback_to_a_version_that_is_not_loaded_says_so(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.commands.deploy.WAIT_S", 0.2)
    second = [loop.turn(GOOD, seed=seed).candidate for seed in (0, 1)][1]
    beat = Heartbeat(gateway="g", url="http://127.0.0.1:1", at=now_text(), champion=second)
    deployments(loop).heartbeats.write(beat)
    said = roll_back(loop.settings, "", "drill")
    assert "It is not loaded at http://127.0.0.1:1: there it serves once it is" in said
    assert "Not every gateway has followed within" in said


def test_a_rollback_while_a_rollout_runs_ends_the_rollout(loop: Loop) -> None:
    first = loop.turn(GOOD).candidate
    second = loop.turn(EQUAL, seed=1).candidate
    assert "Announced: canary of" in begin(loop.settings, "candidate", "canary", "let us see")
    facts = read_status(loop.settings)
    assert facts["rollout"]["candidate"] == second
    assert "at 1 % of the askers" in status_text(facts)
    assert "rolled back at" in roll_back(loop.settings, "", "complaints")
    assert champion(loop) == first
    assert "canary rolled back: complaints" in explain(open_store(loop.settings.store_url), second)
    assert json.dumps(read_status(loop.settings))


def test_what_the_gate_did_not_promote_is_not_deployed_at_once(loop: Loop) -> None:
    loop.turn(GOOD)
    equal = loop.turn(EQUAL, seed=1).candidate
    with pytest.raises(ConfigError, match="says INCONCLUSIVE"):
        begin(loop.settings, equal, "all_at_once", "")
    begin(loop.settings, equal, "ab", "")
    with pytest.raises(ConfigError, match="says INCONCLUSIVE"):
        finish_rollout(loop.settings, "")
    worse = loop.turn(BAD, seed=2).candidate
    with pytest.raises(ConfigError, match="says REJECT"):
        begin(loop.settings, worse, "canary", "")
    assert "shadow of" in begin(loop.settings, worse, "shadow", "")


def test_a_rollout_is_finished_by_hand_and_without_one_there_is_nothing_to_finish(loop: Loop) -> None:
    first, second = loop.turn(GOOD).candidate, loop.turn(GOOD, seed=1).candidate
    with pytest.raises(ConfigError, match="No rollout runs"):
        finish_rollout(loop.settings, "")
    with pytest.raises(ConfigError, match="is the champion already"):
        begin(loop.settings, "champion", "canary", "")
    roll_back(loop.settings, "", "back")
    assert champion(loop) == first
    begin(loop.settings, second, "ab", "again")
    assert f"The champion is {second[:12]}" in finish_rollout(loop.settings, "clear")
    assert champion(loop) == second


def test_the_status_can_be_watched(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("flows.cli.time.sleep", sleep)
    shown = CliRunner().invoke(app, ["status", "--watch", "--every", "3"])
    assert looks == [3, 3]
    assert shown.output.count("champion") >= 2, shown.output


def test_a_change_is_told_to_programs_with_what_serves_after_it(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = loop.turn(GOOD).candidate, loop.turn(GOOD, seed=1).candidate
    monkeypatch.setenv("RATCHET_STORE_URL", loop.settings.store_url)
    shown = CliRunner().invoke(app, ["rollback", "--reason", "wrong prices", "--json"])
    told = json.loads(shown.output)
    assert (told["champion"], told["rollout"], told["gateways"]) == (first, None, [])
    assert told["sentence"] == f"The champion is {first[:12]}. No gateway is running; the next one follows."
    shown = CliRunner().invoke(app, ["deploy", second, "--strategy", "ab", "--json"])
    told = json.loads(shown.output)
    assert (told["champion"], told["rollout"]["candidate"]) == (first, second)
