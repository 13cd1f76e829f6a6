import threading
import time
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from tasks.adapters.release.golden_questions import keep_golden, read_golden
from tasks.adapters.release.registry import Registry
from tasks.adapters.release.rollouts import Deployments
from tasks.adapters.storage.object_store import open_store
from tasks.adapters.system.clock import now_text
from tasks.core.errors import ConfigError, DataError
from tasks.core.release.golden_questions import Golden
from tasks.core.rollout.plan import Heartbeat
from tasks.release import deploy
from tests.tasks.conftest import BAD, GOOD, Loop

QUICK = deploy.Config(wait_s=0.0)
CANARY = deploy.Config(strategy="canary", wait_s=0.0)


def deployments(loop: Loop) -> Deployments:
    return Deployments(Registry(open_store(loop.settings.store_url)))


def champion(loop: Loop) -> str | None:
    pointer = deployments(loop).registry.pointer("champion")
    return pointer.model if pointer else None


def run(loop: Loop, config: deploy.Config = QUICK) -> deploy.DeployReport:
    out = loop.folder("deploy")
    out.mkdir(exist_ok=True)
    return deploy.run(config, loop.folder("promote"), out, settings=loop.settings)


def leave_the_pointer(loop: Loop) -> None:
    loop.config = loop.config.model_copy(update={"moves_champion": False})


def beat(loop: Loop, serving: str, **changes: Any) -> None:
    values = {"gateway": "g", "url": "http://127.0.0.1:1", "at": now_text(), "champion": serving, **changes}
    deployments(loop).heartbeats.write(Heartbeat.model_validate(values))


def soon(work: Callable[[], None]) -> threading.Thread:
    """Do the work in half a second, in another thread."""
    thread = threading.Thread(target=lambda: (time.sleep(0.5), work()))
    thread.start()
    return thread


def entries(loop: Loop, kind: str) -> list[dict[str, Any]]:
    return [entry.content for entry in deployments(loop).registry.ledger.entries() if entry.kind == kind]


def test_without_a_gateway_nothing_is_waited_for(loop: Loop) -> None:
    report = loop.turn(GOOD)
    began = time.monotonic()
    found = run(loop, deploy.Config(wait_s=60))
    assert time.monotonic() - began < 5
    assert (found.state, found.candidate) == ("no gateway is running", report.candidate)
    assert not entries(loop, "rollout")


def test_a_verdict_other_than_promote_changes_nothing(loop: Loop) -> None:
    first = loop.turn(GOOD)
    loop.turn(BAD, seed=1)
    before = len(deployments(loop).registry.ledger.entries())
    found = run(loop, CANARY)
    assert (found.state, found.reason) == ("nothing to deploy", "the verdict is REJECT")
    assert champion(loop) == first.candidate
    assert len(deployments(loop).registry.ledger.entries()) == before


def test_it_waits_until_the_gateway_serves_the_new_champion(loop: Loop) -> None:
    candidate = loop.turn(GOOD).candidate
    beat(loop, "base")
    thread = soon(lambda: beat(loop, candidate))
    assert run(loop, deploy.Config(wait_s=20)).state == "serving"
    thread.join()


def test_a_gateway_that_does_not_follow_in_time_is_waited_for_no_longer(loop: Loop) -> None:
    loop.turn(GOOD)
    beat(loop, "base")
    assert run(loop).state == "waiting"


def test_a_version_that_failed_its_probe_is_reported_with_the_reason(loop: Loop) -> None:
    loop.turn(GOOD)
    loop.turn(GOOD, seed=1)
    beat(loop, "base")

    def refuse() -> None:
        store = deployments(loop)
        pointer = store.registry.pointer("champion")
        assert pointer is not None
        store.refuse(pointer, "It gave no text.", "gateway g")

    thread = soon(refuse)
    found = run(loop, deploy.Config(wait_s=20))
    thread.join()
    assert (found.state, found.reason) == ("rolled back", "It gave no text.")
    assert run(loop).state == "rolled back"


def test_a_canary_is_announced_and_the_pointer_stays(loop: Loop) -> None:
    first = loop.turn(GOOD)
    leave_the_pointer(loop)
    second = loop.turn(GOOD, seed=1)
    assert champion(loop) == first.candidate
    found = run(loop, CANARY)
    assert (found.state, found.strategy) == ("no gateway is running", "canary")
    document = deployments(loop).rollout()
    assert document is not None
    assert (document.candidate, document.champion) == (second.candidate, first.candidate)
    assert (document.share, document.is_running) == (0.01, True)
    assert champion(loop) == first.candidate
    beat(loop, first.candidate, rollout=document.id)
    assert run(loop, CANARY).state == "rolling out"
    assert len(entries(loop, "rollout")) == 1


def test_a_canary_that_was_rolled_back_does_not_begin_again_by_a_repeated_run(loop: Loop) -> None:
    loop.turn(GOOD)
    leave_the_pointer(loop)
    loop.turn(GOOD, seed=1)
    run(loop, CANARY)
    document = deployments(loop).rollout()
    assert document is not None
    deployments(loop).end(document, "rolled_back", "Errors got worse.", "gateway g")
    found = run(loop, CANARY)
    assert (found.state, found.reason) == ("rolled back", "Errors got worse.")
    again = deployments(loop).rollout()
    assert again is not None
    assert not again.is_running


def test_a_next_candidate_takes_the_place_of_a_rollout_that_still_runs(loop: Loop) -> None:
    loop.turn(GOOD)
    leave_the_pointer(loop)
    loop.turn(GOOD, seed=1)
    run(loop, CANARY)
    third = loop.turn(GOOD, seed=2)
    run(loop, CANARY)
    document = deployments(loop).rollout()
    assert document is not None
    assert document.candidate == third.candidate
    assert [content["what"] for content in entries(loop, "rollout")] == ["announced", "announced", "superseded"]


def test_all_at_once_moves_the_pointer_that_promote_left(loop: Loop) -> None:
    leave_the_pointer(loop)
    report = loop.turn(GOOD)
    assert champion(loop) is None
    run(loop)
    assert champion(loop) == report.candidate
    assert deployments(loop).registry.verify()


def test_a_canary_of_what_promote_made_the_champion_is_a_sentence(loop: Loop) -> None:
    loop.turn(GOOD)
    with pytest.raises(ConfigError, match="set moves_champion: false"):
        run(loop, CANARY)


def test_a_folder_without_a_verdict_is_a_sentence(loop: Loop) -> None:
    with pytest.raises(DataError, match="holds no verdict"):
        run(loop)


def test_promote_keeps_golden_questions_of_what_the_candidate_answered_rightly(loop: Loop) -> None:
    loop.train()
    loop.fetch()
    loop.evaluate(GOOD)
    path = loop.folder("evaluate") / "rows.parquet"
    rows = pl.read_parquet(path).with_columns(answerable=pl.lit(True), status=pl.lit("ok"))
    rows.with_columns(answer=pl.col("reference") + " Really.").write_parquet(path)
    report = loop.promote()
    kept = read_golden(deployments(loop).registry.store, report.candidate)
    assert len(kept) == loop.config.golden
    assert kept[0].holds == "It returns <b>bold</b> text & more."
    keep_golden(deployments(loop).registry.store, report.candidate, [Golden(question="Other?", holds="x")])
    assert read_golden(deployments(loop).registry.store, report.candidate) == kept


def test_a_version_that_answered_nothing_rightly_has_none(loop: Loop) -> None:
    report = loop.turn(GOOD)
    assert read_golden(deployments(loop).registry.store, report.candidate) == []
