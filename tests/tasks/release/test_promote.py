import json
from pathlib import Path

import polars as pl
import pytest

from tasks.adapters.storage.object_store import open_store
from tasks.core.errors import DataError
from tasks.release.promote import is_unrecorded
from tasks.runner import find_stage, run_stage
from tests.tasks.conftest import BAD, EQUAL, GOOD, Loop
from tests.tasks.release.store_contents import champion, contents, kinds, registry


def test_a_better_candidate_becomes_the_first_champion(loop: Loop) -> None:
    report = loop.turn(GOOD)
    assert report.outcome == "PROMOTE"
    assert report.champion is None
    assert champion(loop) == report.candidate
    assert registry(loop).models() == [report.candidate]
    assert kinds(loop) == ["run", "pointer", "verdict", "pointer"]
    assert registry(loop).verify() == 4


def test_the_folder_holds_verdict_note_and_card(loop: Loop) -> None:
    report = loop.turn(GOOD)
    verdict = json.loads((loop.folder("promote") / "verdict.json").read_text())
    assert verdict["outcome"] == "PROMOTE"
    assert verdict["candidate"] == report.candidate
    assert sorted(path.name for path in loop.folder("promote").iterdir()) == [
        "model_card.md",
        "release_note.html",
        "verdict.json",
    ]


@pytest.mark.parametrize(("gain", "outcome"), [(BAD, "REJECT"), (EQUAL, "INCONCLUSIVE")])
def test_a_refused_candidate_is_registered_and_recorded_and_the_champion_stays(
    loop: Loop, gain: float, outcome: str
) -> None:
    first = loop.turn(GOOD)
    second = loop.turn(gain, seed=1)
    assert second.outcome == outcome
    assert second.champion == first.candidate
    assert champion(loop) == first.candidate
    pointer = registry(loop).pointer("candidate")
    assert pointer is not None
    assert pointer.model == second.candidate
    assert len(registry(loop).models()) == 2
    assert kinds(loop)[4:] == ["run", "pointer", "verdict"]


def test_a_second_champion_follows_the_first(loop: Loop) -> None:
    first = loop.turn(GOOD)
    second = loop.turn(GOOD, seed=1)
    pointer = registry(loop).pointer("champion")
    assert pointer is not None
    assert (pointer.model, pointer.previous) == (second.candidate, first.candidate)
    note = (loop.folder("promote") / "release_note.html").read_text()
    assert "as before" in note
    assert first.candidate[:12] in note


def test_the_ledger_keeps_all_that_led_to_the_verdict(loop: Loop, workdir: Path, monkeypatch) -> None:
    monkeypatch.setenv("RATCHET_TRIGGER", "drift event 7")
    Path("dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    Path("configs/finetune").mkdir(parents=True)
    Path("configs/finetune/train.yaml").write_text("epochs: 2\n")
    (loop.settings.home / "stages/train").mkdir(parents=True)
    cost = {"wall_s": 12.5, "cpu_s": 20.0, "peak_bytes": 5_000_000_000}
    (loop.settings.home / "stages/train/cost.json").write_text(json.dumps(cost))
    loop.turn(GOOD, seed=4)
    run, _, verdict, pointer = registry(loop).ledger.entries()
    facts = run.content
    assert facts["trigger"] == "drift event 7"
    assert facts["seed"] == 4
    assert facts["configs"] == {"finetune.train": {"epochs": 2}}
    assert facts["cost"]["stages"]["train"] == cost
    assert facts["cost"]["evaluation_tokens"]["candidate"] == {"prompt": 24_000, "completion": 2_400}
    assert facts["code"] == {"commit": None, "is_dirty": False}
    assert {"python", "numpy", "polars"} <= set(facts["versions"])
    assert facts["metrics"] == {"candidate": {"score": 0.5}}
    assert facts["data"]["files"].keys() == {"split/train.parquet", "split/eval.parquet"}
    lock = open_store(loop.settings.store_url).get(f"blobs/{facts['dvc_lock']}")
    assert lock == Path("dvc.lock").read_bytes()
    assert verdict.content["run"] == run.digest
    assert verdict.content["rules"]["least_effect"] == 0.02
    assert verdict.content["rows"].keys() == {"rows.parquet", "probe.parquet"}
    assert pointer.content["entry"] == verdict.digest
    note = open_store(loop.settings.store_url).get(f"blobs/{verdict.content['pages']['release_note.html']}").decode()
    assert "drift event 7" in note
    assert "12.5 s" in note


def test_nothing_of_the_raw_zone_or_of_reports_texts_reaches_store_or_pages(loop: Loop) -> None:
    loop.turn(GOOD)
    for folder in (Path(loop.settings.store_url), loop.folder("promote")):
        for path in folder.rglob("*"):
            assert not path.is_file() or b"jane.doe" not in path.read_bytes()
    assert "not UTF-8" in (loop.folder("promote") / "release_note.html").read_text()


def test_the_same_inputs_give_the_same_bytes_in_another_store_and_at_another_time(
    loop: Loop, monkeypatch, tmp_path: Path
) -> None:
    loop.turn(GOOD)
    first = {path.name: path.read_bytes() for path in loop.folder("promote").iterdir()}
    monkeypatch.setattr("tasks.release.promote._now", lambda: "2031-01-01T00:00:00+00:00")
    loop.settings = loop.settings.model_copy(update={"store_url": str(tmp_path / "other")})
    loop.promote()
    assert {path.name: path.read_bytes() for path in loop.folder("promote").iterdir()} == first


def test_running_it_again_changes_nothing(loop: Loop) -> None:
    loop.turn(GOOD)
    before = contents(open_store(loop.settings.store_url))
    loop.promote()
    assert contents(open_store(loop.settings.store_url)) == before


def test_a_store_that_lacks_the_candidate_is_noticed(loop: Loop, tmp_path: Path) -> None:
    assert not is_unrecorded(loop.folder("promote"), loop.settings), "no verdict yet"
    loop.turn(GOOD)
    assert not is_unrecorded(loop.folder("promote"), loop.settings)
    elsewhere = loop.settings.model_copy(update={"store_url": str(tmp_path / "other")})
    assert is_unrecorded(loop.folder("promote"), elsewhere)


def test_other_rules_are_another_verdict_on_the_same_version(loop: Loop) -> None:
    loop.turn(GOOD)
    loop.config = loop.config.model_copy(update={"least_effect": 0.9})
    assert loop.promote().outcome == "INCONCLUSIVE"
    assert kinds(loop).count("verdict") == 2
    assert len(registry(loop).models()) == 1
    assert registry(loop).ledger.entries()[-1].content["looks"] == 2


def test_a_removed_or_nan_metric_never_promotes(loop: Loop) -> None:
    loop.turn(GOOD)
    loop.train(1)
    loop.fetch()
    for damage in (
        lambda rows: rows.drop("hallucinated"),
        lambda rows: rows.with_columns(score=pl.lit(float("nan"))),
        lambda rows: rows.clear(),
        lambda rows: rows.drop("item_id"),
    ):
        loop.evaluate(GOOD, 1)
        path = loop.folder("evaluate") / "rows.parquet"
        damage(pl.read_parquet(path)).write_parquet(path)
        assert loop.promote().outcome == "INCONCLUSIVE"
    assert kinds(loop).count("verdict") == 5


def test_unreadable_measurements_are_one_sentence(loop: Loop) -> None:
    loop.train()
    loop.fetch()
    loop.evaluate(GOOD)
    (loop.folder("evaluate") / "probe.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match=r"probe.parquet cannot be read .* run `ratchet stage finetune.evaluate`"):
        loop.promote()
    (loop.folder("evaluate") / "rows.parquet").unlink()
    with pytest.raises(DataError, match=r"rows.parquet cannot be read"):
        loop.promote()


def test_measurements_of_another_split_are_refused(loop: Loop) -> None:
    loop.train()
    loop.fetch()
    loop.evaluate(GOOD)
    path = loop.folder("split") / "eval.parquet"
    pl.read_parquet(path).head(100).write_parquet(path)
    with pytest.raises(DataError, match="measures 20 items that"):
        loop.promote()


def test_the_runner_runs_it_with_the_tracked_rules(loop: Loop, repository: Path, monkeypatch) -> None:
    monkeypatch.chdir(repository)
    loop.train()
    loop.fetch()
    loop.evaluate(GOOD)
    report = run_stage(find_stage("release.promote"), loop.settings)
    assert report.model_dump()["outcome"] == "INCONCLUSIVE"  # 120 items, and the tracked rules ask for 200
    assert (loop.folder("promote") / "report.json").exists()
