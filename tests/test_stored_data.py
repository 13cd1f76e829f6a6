"""What earlier releases wrote stays readable: their stores, ledgers, served answers, feedback and keys."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tasks.adapters.monitoring.window_log import WindowLog
from tasks.adapters.records.answer_log import find_record, read_records
from tasks.adapters.records.feedback_store import read_feedback
from tasks.adapters.records.record_place import RecordPlace
from tasks.adapters.release.explain import explain
from tasks.adapters.release.registry import Registry
from tasks.adapters.release.rollouts import Deployments
from tasks.adapters.release.unannounced_changes import read_unannounced
from tasks.adapters.storage.object_store import FolderStore
from tasks.core.release.ledger_entries import KINDS
from tasks.serving.access.keys import KeyRing

RELEASES = sorted(path for path in (Path(__file__).parent / "fixtures").glob("store_*"))
DAY = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 2, tzinfo=UTC)


@pytest.fixture(params=RELEASES, ids=lambda path: path.name)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of what one release wrote."""
    copy = Path(shutil.copytree(request.param, tmp_path / "kept"))
    (copy / "home" / "keys.json").chmod(0o600)  # git keeps no such mode
    return copy


@pytest.fixture
def registry(kept: Path) -> Registry:
    return Registry(FolderStore(kept / "store"))


def test_there_is_a_release_to_look_at() -> None:
    assert RELEASES


def test_the_ledger_is_whole_and_every_entry_is_read_into_its_class(registry: Registry) -> None:
    entries = registry.ledger.entries()
    assert registry.verify() == len(entries) == 32
    assert {type(entry.facts) for entry in entries} == set(KINDS.values())


def test_the_champion_is_explained_in_the_words_of_then(kept: Path, registry: Registry) -> None:
    then = (kept / "explained.txt").read_text().splitlines()
    now = explain(registry.store, "champion").splitlines()
    assert now == then


def test_every_version_can_be_fetched_whole(registry: Registry, tmp_path: Path) -> None:
    versions = registry.models()
    assert len(versions) == 4
    for version in versions:
        manifest = registry.download(version, tmp_path / version)  # checks each file against its digest
        assert all((tmp_path / version / name).exists() for name in manifest.files)


def test_the_rollout_and_its_gateway_are_read(registry: Registry) -> None:
    deployments = Deployments(registry)
    rollout = deployments.rollout()
    assert rollout is not None
    assert (rollout.strategy, rollout.is_running) == ("shadow", True)
    (gateway,) = deployments.heartbeats.alive(datetime(2026, 5, 1, 11, 0, 5, tzinfo=UTC))
    assert gateway.refused == {"f" * 64: "The index is damaged."}
    assert read_unannounced(registry.store).changes == []


def test_a_rollout_of_then_is_ended_and_the_ledger_goes_on(registry: Registry) -> None:
    deployments = Deployments(registry)
    rollout = deployments.rollout()
    assert rollout is not None
    ended = deployments.end(rollout, "rolled_back", "too slow", "test")
    assert (ended.state, ended.ending) == ("rolled_back", "too slow")
    assert registry.verify() == 33


def test_the_windows_of_the_monitor_are_read(registry: Registry) -> None:
    pointer = registry.pointer("champion")
    assert pointer is not None
    (window,) = WindowLog(registry.store, pointer.model).last(5)
    assert window.drift.outcome == "CONFIRMED"
    assert [part.cluster.name for part in window.parts] == ["matplotlib, axes"]


def test_served_answers_are_read_from_the_open_hour_and_the_one_before(kept: Path) -> None:
    place = RecordPlace(kept / "journal", FolderStore(kept / "records"))
    assert read_records(place, *DAY)["answer_id"].to_list() == ["a0", "a1", "a2", "b0"]
    found = find_record(place, "b0", datetime(2026, 5, 1, 11, 30, tzinfo=UTC))
    assert found is not None
    assert (found.completion_tokens, found.seconds) == (3, 0.4)


def test_feedback_and_keys_are_read(kept: Path) -> None:
    verdicts = {verdict.answer_id: verdict for verdict in read_feedback(FolderStore(kept / "feedback"))}
    assert (verdicts["a1"].thumb, verdicts["a2"].correction) == ("down", "Two days.")
    (key,) = KeyRing(kept / "home" / "keys.json").all()
    assert (key.name, key.role, key.tokens_per_day) == ("support-bot", "user", 1000)


def test_nothing_stored_holds_a_key_in_the_clear(kept: Path) -> None:
    assert "rk-" not in json.dumps([path.read_text(errors="replace") for path in kept.rglob("*") if path.is_file()])
