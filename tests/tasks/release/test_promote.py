import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest

from tasks.adapters.release.registry import Registry
from tasks.adapters.storage import object_store
from tasks.adapters.storage.object_store import FolderStore, Store, open_store
from tasks.core.errors import DataError, ExternalError
from tasks.finetune.fetch import is_stale
from tasks.release import promote
from tasks.release.promote import is_unrecorded
from tasks.runner import find_stage, run_stage
from tests.tasks.adapters.conftest import make_store
from tests.tasks.conftest import BAD, EQUAL, GOOD, Loop


def registry(loop: Loop) -> Registry:
    return Registry(open_store(loop.settings.store_url, loop.settings.s3_endpoint_url))


def kinds(loop: Loop) -> list[str]:
    return [entry.kind for entry in registry(loop).ledger.entries()]


def champion(loop: Loop) -> str | None:
    pointer = registry(loop).pointer("champion")
    return pointer.model if pointer else None


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


def contents(store: Store) -> dict[str, bytes | None]:
    return {key: store.get(key) for key in store.list("")}


class Killed(BaseException):
    """What a kill looks like from inside: nothing after it runs."""


class Fragile(FolderStore):
    """A folder store whose process dies at the n-th write: before it, or right after it."""

    left = 0
    is_done_first = False

    def _write(self, write):
        Fragile.left -= 1
        if Fragile.left == 0 and not self.is_done_first:
            raise Killed
        result = write()
        if Fragile.left == 0:
            raise Killed
        return result

    def put_if_absent(self, key: str, data: bytes) -> bool:
        return self._write(lambda: super(Fragile, self).put_if_absent(key, data))

    def compare_and_swap(self, key: str, expected: bytes | None, data: bytes) -> bool:
        if expected is None:  # the folder store makes it a put_if_absent, which counts by itself
            return super().compare_and_swap(key, expected, data)
        return self._write(lambda: super(Fragile, self).compare_and_swap(key, expected, data))

    def upload(self, key: str, path: Path) -> None:
        return self._write(lambda: super(Fragile, self).upload(key, path))


@pytest.mark.parametrize("is_done_first", [False, True])
def test_killed_at_any_write_and_run_again_leaves_one_version_one_verdict_one_move(
    loop: Loop, monkeypatch, is_done_first: bool, tmp_path: Path
) -> None:
    loop.turn(GOOD)  # a champion, so that the pointer is swapped and not only made
    loop.train(1)
    loop.fetch()
    loop.evaluate(GOOD, 1)
    start, store = tmp_path / "start", Path(loop.settings.store_url)
    shutil.copytree(store, start)
    monkeypatch.setattr("tasks.release.promote._now", lambda: "2026-01-01T00:00:00+00:00")
    loop.promote()
    wanted = contents(FolderStore(store))
    case = promote.build_case(loop.config, loop.inputs())
    monkeypatch.setattr(promote, "build_case", lambda *_: case)  # follows from the inputs alone, and takes longest
    monkeypatch.setattr(Fragile, "is_done_first", is_done_first)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # 5,000 flushes would take longer than all else
    kills = 0
    while True:
        shutil.rmtree(store)
        shutil.copytree(start, store)
        Fragile.left = kills + 1
        with monkeypatch.context() as patch:
            patch.setattr(object_store, "FolderStore", Fragile)
            try:
                loop.promote()
                break
            except Killed:
                kills += 1
        loop.promote()
        assert contents(FolderStore(store)) == wanted, f"killed at write {kills}"
    assert kills > 15
    assert kinds(loop) == ["run", "pointer", "verdict", "pointer"] * 2


def test_a_run_killed_after_the_move_is_completed_by_whoever_moves_next(loop: Loop, monkeypatch) -> None:
    loop.train(0)
    loop.fetch()
    loop.evaluate(GOOD)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Registry, "_record", lambda *_: (_ for _ in ()).throw(Killed()))
        loop.promote()  # dies after the candidate pointer moved, before that is recorded
    assert kinds(loop) == ["run"]
    loop.turn(GOOD, seed=1)
    assert kinds(loop) == ["run", "run", "pointer", "pointer", "verdict", "pointer"]
    assert registry(loop).verify() == 6


def test_another_run_that_promoted_first_is_named_and_recorded(loop: Loop, tmp_path: Path) -> None:
    other = checkout_beside(loop, tmp_path)
    for each, seed in ((loop, 0), (other, 1)):
        each.train(seed)
        each.fetch()
        each.evaluate(GOOD, seed)
    winner = loop.promote()
    with pytest.raises(ExternalError, match=f"promoted {winner.candidate[:12]} meanwhile: run again") as raised:
        other.promote()
    assert raised.value.exit_code == 4
    assert champion(loop) == winner.candidate
    assert kinds(loop).count("verdict") == 2
    assert kinds(loop)[-1] == "superseded"
    with pytest.raises(ExternalError):
        other.promote()
    assert kinds(loop).count("superseded") == 1
    assert is_stale(other.folder("fetch"), other.folder("train"), other.settings)
    again = other.turn(GOOD, seed=1)
    assert again.champion == winner.candidate
    assert champion(loop) == again.candidate
    registry(loop).verify()


def test_two_checkouts_with_the_same_model_agree_and_each_leaves_its_run(loop: Loop, tmp_path: Path) -> None:
    other = checkout_beside(loop, tmp_path)
    loop.turn(GOOD)
    shutil.copytree(loop.folder("fetch"), other.folder("fetch"))
    other.train(0)
    other.evaluate(GOOD, 0)
    other.promote()
    assert kinds(loop) == ["run", "pointer", "verdict", "pointer", "run"]
    assert len(registry(loop).models()) == 1


@pytest.mark.parametrize("backend", ["folder", pytest.param("s3", marks=pytest.mark.s3)])
def test_racing_promotions_leave_one_champion_and_every_verdict(
    loop: Loop, tmp_path: Path, request: pytest.FixtureRequest, backend: str
) -> None:
    shared = make_store(request, backend, tmp_path)
    endpoint = request.getfixturevalue("s3_endpoint") if backend == "s3" else None
    loop.settings = loop.settings.model_copy(update={"store_url": shared.address, "s3_endpoint_url": endpoint})
    racers = [loop, *(checkout_beside(loop, tmp_path / str(n)) for n in range(3))]
    for seed, racer in enumerate(racers):
        racer.train(seed)
        racer.fetch()
        racer.evaluate(GOOD, seed)

    def act(racer: Loop) -> str:
        try:
            return racer.promote().candidate
        except ExternalError:
            return "superseded"

    with ThreadPoolExecutor(len(racers)) as pool:
        results = list(pool.map(act, racers))
    winners = [result for result in results if result != "superseded"]
    assert winners == [champion(loop)]
    assert kinds(loop).count("verdict") == len(racers)
    assert kinds(loop).count("superseded") == len(racers) - 1
    moves = [e for e in registry(loop).ledger.entries() if e.kind == "pointer" and e.content["name"] == "champion"]
    assert len(moves) == 1
    registry(loop).verify()


def checkout_beside(loop: Loop, folder: Path) -> Loop:
    """Return another checkout of the same data with the same store."""
    update = {"home": folder / "other-home", "data": folder / "other-data"}
    other = Loop(loop.settings.model_copy(update=update), loop.bench)
    shutil.copytree(loop.settings.data, other.settings.data)
    for stage in ("train", "fetch", "evaluate", "promote"):
        shutil.rmtree(other.folder(stage), ignore_errors=True)
    return other


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
