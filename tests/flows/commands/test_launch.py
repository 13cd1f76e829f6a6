"""A run that has nothing to do ends without Prefect, and its ledger entry says so."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from flows.commands import launch
from flows.runtime.run import Outcome
from flows.runtime.session import Request
from tasks.adapters.release.ledger import Ledger
from tasks.adapters.storage.object_store import open_store
from tasks.adapters.system import dvc
from tasks.settings import Settings
from tests.tasks.conftest import GOOD, Loop, load_bench


@pytest.fixture
def flow_runs(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """A checkout without Prefect settings, whose DVC finds nothing stale; the flow runs that were started."""
    started: list[Request] = []

    def retrain(_: Settings, request: Request) -> Mapping[str, Outcome]:
        started.append(request)
        return {}

    (workdir / ".dvc").mkdir()
    (workdir / ".dvc" / "config").touch()
    (workdir / "data" / "fetch").mkdir(parents=True)
    (workdir / "data" / "fetch" / "champion.json").write_text('{"digest": null}')
    monkeypatch.setattr(launch, "configured_api", lambda _: None)
    monkeypatch.setattr(launch, "_retrain", retrain)
    monkeypatch.setattr(dvc, "is_up_to_date", lambda: True)
    return started


def ledger_outcomes() -> list[object]:
    settings = Settings()
    return [entry.content["outcome"] for entry in Ledger(open_store(settings.store_url)).entries()]


def test_where_nothing_is_stale_no_flow_starts_and_the_ledger_says_so(flow_runs: list[Request]) -> None:
    ended = launch.retrain_once(Request(reason="nightly"))
    assert set(ended.outcomes.values()) == {"unchanged"}
    assert flow_runs == []
    assert ledger_outcomes() == ["nothing changed"]
    (entry,) = Ledger(open_store(Settings().store_url)).entries()
    stages = entry.content["stages"]
    assert isinstance(stages, dict)
    assert len(stages) == 12
    assert set(stages.values()) == {"unchanged"}


def test_a_changed_source_or_what_dvc_finds_stale_starts_the_flow(
    flow_runs: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dvc, "is_up_to_date", lambda: False)
    launch.retrain_once(Request(reason="dvc"))
    monkeypatch.setattr(dvc, "is_up_to_date", lambda: True)
    monkeypatch.setattr("flows.runtime.session.is_any_stage_stale_outside_dvc", lambda _: True)
    launch.retrain_once(Request(reason="source"))
    launch.retrain_once(Request(reason="trial", overrides=["curate.dedup.bands=10"]))
    assert [request.reason for request in flow_runs] == ["dvc", "source", "trial"]


def test_a_configured_prefect_api_records_the_run_also_where_nothing_is_stale(
    flow_runs: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "configured_api", lambda _: "http://127.0.0.1:9/api")
    launch.retrain_once(Request(reason="seen"))
    assert [request.reason for request in flow_runs] == ["seen"]


def test_a_run_is_told_to_programs_and_to_a_person(settings: Settings, repository: Path) -> None:
    loop = Loop(settings, load_bench(repository, "gate"))
    loop.curate()
    candidate = loop.turn(GOOD).candidate
    ended = launch.RunResult({"ingest": "unchanged", "train": "ran"}, settings.data)
    told = json.loads(json.dumps(ended.facts()))
    assert told["stages"] == {"ingest": "unchanged", "train": "ran"}
    assert (told["verdict"]["candidate"], told["verdict"]["outcome"]) == (candidate, "PROMOTE")
    assert told["release_note"] == str((settings.data / "promote/release_note.html").absolute())
    assert ended.text().startswith(f"Ran train.\n\ncandidate {candidate[:12]} against the base model\nPROMOTE: ")
