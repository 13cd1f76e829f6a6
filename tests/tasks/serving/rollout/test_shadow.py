"""Shadows answer too, are never shown, and neither delay nor fail what is."""

import time
from pathlib import Path

from tasks.adapters.release.registry import Registry
from tasks.adapters.release.rollouts import Deployments
from tasks.adapters.storage.object_store import open_store
from tasks.core.rollout.plan import DeployConfig
from tests.tasks.serving.live_gateway import Start
from tests.tasks.serving.rollout.fleet import GOOD, RULE, Fleet


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
