"""`promote` killed at any write, or racing with another run: one version, one verdict, one champion."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.adapters.release.registry import Registry
from tasks.adapters.storage import object_store
from tasks.adapters.storage.object_store import FolderStore
from tasks.core.errors import ExternalError
from tasks.finetune.fetch import is_stale
from tasks.release import promote
from tests.tasks.adapters.conftest import make_store
from tests.tasks.conftest import GOOD, Loop
from tests.tasks.release.store_contents import champion, contents, kinds, registry


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
