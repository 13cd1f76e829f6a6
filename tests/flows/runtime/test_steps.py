"""A step: skipped when nothing changed, retried only for what another try may cure, shown as an artifact.

DVC is replaced by a function here; tests/flows/test_retrain.py runs the real one.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey, FlowRunFilter, TaskRunFilter
from prefect.client.schemas.sorting import ArtifactSort
from prefect.testing.utilities import prefect_test_harness

from flows.runtime import steps
from flows.runtime.run import Outcome, Run
from flows.runtime.steps import Policy, step
from tasks.core.errors import DataError, ExternalError, RatchetError
from tasks.settings import Settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

Reproduce = Callable[..., int]


@pytest.fixture(scope="module", autouse=True)
def prefect_server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def run(settings: Settings, workdir: Path) -> Run:
    return Run(settings)


def replace_dvc(monkeypatch: pytest.MonkeyPatch, reproduce: Reproduce) -> list[dict[str, object]]:
    calls: list[dict[str, object]] = []

    def record(stage: str, on_line: Callable[[str], None], *, force: bool, environment: Mapping[str, str]) -> int:
        calls.append({"stage": stage, "force": force})
        return reproduce(stage, on_line, environment)

    monkeypatch.setattr(steps.dvc, "reproduce", record)
    return calls


def leave(settings: Settings, name: str, value: Mapping[str, object]) -> None:
    path = settings.home / "stages" / "dedup" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def perform(run: Run, policy: Policy = steps.ONCE, *, force: bool = False) -> Outcome:
    dedup = step("dedup", policy)

    @flow
    def one_step() -> Outcome:
        return dedup(run, force)

    return one_step()


def test_a_fresh_run_does_not_even_ask_dvc(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = replace_dvc(monkeypatch, lambda *_: 0)
    assert perform(Run(run.settings, is_fresh=True)) is Outcome.UNCHANGED
    assert calls == []


def test_a_forced_step_runs_although_nothing_changed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(*_: object) -> int:
        leave(run.settings, "cost.json", {})
        return 0

    calls = replace_dvc(monkeypatch, work)
    assert perform(Run(run.settings, is_fresh=True), force=True) is Outcome.RAN
    assert calls == [{"stage": "dedup", "force": True}]


def test_a_step_says_whether_it_ran_was_restored_or_had_nothing_to_do(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def restore(*_: object) -> int:
        folder = run.settings.data / "dedup"
        folder.mkdir(parents=True)
        (folder / "report.json").write_text('{"kept": 1}')
        return 0

    replace_dvc(monkeypatch, restore)
    assert perform(run) is Outcome.RESTORED
    replace_dvc(monkeypatch, lambda *_: 0)
    assert perform(run) is Outcome.UNCHANGED


def test_the_stage_s_own_error_comes_back_with_its_sentence_and_is_not_retried(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        leave(run.settings, "error.json", {"type": "DataError", "message": "Look at the data."})
        return 255

    calls = replace_dvc(monkeypatch, refuse)
    with pytest.raises(DataError, match=r"Look at the data\."):
        perform(run, Policy(retries=2, delay_s=0))
    assert len(calls) == 1


def test_only_an_external_error_is_tried_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[int] = []

    def fail_once(*_: object) -> int:
        attempts.append(1)
        if len(attempts) == 1:
            leave(run.settings, "error.json", {"type": "ExternalError", "message": "The network is down."})
            return 255
        leave(run.settings, "cost.json", {})
        return 0

    replace_dvc(monkeypatch, fail_once)
    assert perform(run, Policy(retries=1, delay_s=0)) is Outcome.RAN
    assert len(attempts) == 2


def test_a_child_killed_before_it_could_say_why_is_an_external_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_dvc(monkeypatch, lambda *_: -9)
    with pytest.raises(ExternalError, match=r"curate\.dedup ended with code -9"):
        perform(run)


def test_an_error_type_of_a_newer_version_is_still_a_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        leave(run.settings, "error.json", {"type": "NewError", "message": "New."})
        return 1

    replace_dvc(monkeypatch, refuse)
    with pytest.raises(RatchetError, match="New"):
        perform(run)


def test_a_report_and_live_progress_become_artifacts(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(_: str, on_line: Callable[[str], None], environment: Mapping[str, str]) -> int:
        for done in (1, 2):
            note = {"done": done, "total": 2, "message": "loss 1.5", "left_s": 0}
            Path(environment["RATCHET_PROGRESS_FILE"]).write_text(json.dumps(note))
            on_line("a line")
        folder = run.settings.data / "dedup"
        folder.mkdir(parents=True)
        (folder / "report.json").write_text('{"kept": 41, "share": {"near": 0.25}}')
        (folder / "curve.png").write_bytes(b"")
        leave(run.settings, "cost.json", {})
        return 0

    replace_dvc(monkeypatch, work)
    perform(run)
    report = artifact("dedup-report")
    assert "| kept | 41 |" in report
    assert "| share.near | 0.25 |" in report
    assert "curve.png" in report
    assert float(artifact("dedup-progress")) in (50.0, 100.0)


def artifact(key: str) -> str:
    """Return the newest artifact's data."""
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])),
            flow_run_filter=FlowRunFilter(),
            task_run_filter=TaskRunFilter(),
            limit=1,
            offset=0,
            sort=ArtifactSort.UPDATED_DESC,
        )
    return str(found[0].data)
