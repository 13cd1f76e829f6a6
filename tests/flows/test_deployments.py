"""What runs when, and that drift starts one retrain: against the very server that `ratchet up` starts."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.commands.up import PREFECT, services
from flows.deployments import COOL_DOWN_S, deployments
from flows.events import MODEL_PROMOTED as PROMOTED
from flows.events import MODEL_ROLLED_BACK as ROLLED_BACK
from flows.runtime.session import Request
from tasks.adapters.release.registry import Registry
from tasks.adapters.release.rollouts import Deployments
from tasks.adapters.storage.object_store import open_store
from tasks.adapters.system.supervisor import Services
from tasks.core.rollout.plan import DeployConfig
from tasks.settings import Settings
from tests.browser import chromium, closed_page
from tests.flows.conftest import Checkout, Hook, wait_for
from tests.tasks.conftest import GOOD, Loop, load_bench

UI_MS = 60_000
EVENTS = """
import sys, time
from flows.events import DRIFT_DETECTED, tell
from tasks.settings import Settings

for number in range(7):
    payload = {"headline": "The traffic has changed in \\"quality\\".", "slices": ["scipy, stats", "norm"],
               "packages": ["scipy"], "paths": [], "severity": "high", "report": "file:///page.html"}
    tell(DRIFT_DETECTED, "m" * 64, payload, Settings())
    time.sleep(0.5)
"""


def test_the_file_for_a_work_pool_has_the_deployments_that_up_serves(repository: Path) -> None:
    written = {d["name"]: d for d in yaml.safe_load((repository / "infra/prefect.yaml").read_text())["deployments"]}
    served = {deployment.name: deployment for deployment in deployments()}
    assert list(written) == list(served) == ["nightly", "on-demand", "every-15-minutes"]
    for name, deployment in served.items():
        other = written[name]
        assert other["entrypoint"] == deployment.entrypoint
        assert other["description"] == deployment.description
        assert other.get("parameters", {}) == deployment.parameters
        assert [_schedule(s) for s in other.get("schedules", [])] == [_served_schedule(s) for s in deployment.schedules]


def test_the_file_s_trigger_is_the_served_one(repository: Path) -> None:
    written = yaml.safe_load((repository / "infra/prefect.yaml").read_text())["deployments"][1]["triggers"]
    (trigger,) = deployments()[1].triggers
    facts = trigger.model_dump(mode="json", exclude_unset=True)
    assert trigger.within == timedelta(seconds=COOL_DOWN_S)
    assert written == [{**facts, "type": "event", "within": COOL_DOWN_S}]


def _schedule(schedule: dict[str, Any]) -> tuple[object, ...]:
    return (schedule["interval"],) if "interval" in schedule else (schedule["cron"], schedule["timezone"])


def _served_schedule(schedule: Any) -> tuple[object, ...]:
    every = schedule.schedule
    if hasattr(every, "interval"):
        return (every.interval.total_seconds(),)
    return (every.cron, every.timezone or "UTC")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SyncPrefectClient]:
    """A client of the server that `ratchet up` starts, with nothing else beside it."""
    home = tmp_path_factory.mktemp("up")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        settings = Settings(home=home, prefect_port=probe.getsockname()[1])
    server = Services([service for service in services(settings, None) if service.name == PREFECT], lambda _: None)

    def is_up() -> bool:
        server.check()
        return server.are_up

    try:
        wait_for(is_up, "no server", 120)
        address = f"http://127.0.0.1:{settings.prefect_port}/api"
        with temporary_settings({PREFECT_API_URL: address}), get_client(sync_client=True) as found:
            yield found
    finally:
        server.end()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_seven_drift_events_start_one_retrain_that_knows_what_drifted(
    client: SyncPrefectClient, repository: Path
) -> None:
    deployment = client.read_deployment(deployments()[1].apply())
    emit(repository, str(client.api_url))
    found = runs_of(client, deployment.id)
    wait_for(lambda: len(found()) > 0, "no retrain was started", 60)
    emit(repository, str(client.api_url))  # by then the others of the first seven have been looked at
    (run,) = found()
    assert run.created_by is not None
    assert run.created_by.type == "AUTOMATION"
    assert run.created_by.display_value == "drift starts a retrain"
    request = Request.model_validate(run.parameters["request"])
    assert request.reason == 'drift: The traffic has changed in "quality".'
    assert (request.slices, request.add_packages, request.add_paths) == (["scipy, stats", "norm"], ["scipy"], [])
    assert request.use_feedback
    assert request.wait


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_terminal_and_what_up_serves_tell_prefect_who_serves(
    client: SyncPrefectClient, workdir: Path, hook: Hook, repository: Path
) -> None:
    settings = Settings()
    loop = Loop(settings, load_bench(repository, "gate"))
    loop.curate()
    first, second = (loop.turn(GOOD, seed=seed).candidate for seed in (0, 1))
    environment = {"PYTHONPATH": str(repository), "RATCHET_ALERT_WEBHOOK_URL": hook.url}
    checkout = Checkout(workdir, {**environment, "PREFECT_API_URL": str(client.api_url)})
    (workdir / "configs").symlink_to(repository / "configs")
    checkout.ratchet("rollback", "--reason", "wrong prices")
    said = [(PROMOTED, first), (PROMOTED, second), (ROLLED_BACK, first)]
    assert [(told["event"], told["model"]) for told in hook.bodies] == said
    wait_for(lambda: champion_events(client) == said, "Prefect was not told", 20)
    serving = checkout.start(module="flows.deployments")
    try:
        deployments = Deployments(Registry(open_store(settings.store_url)))
        rollout = deployments.announce(second, DeployConfig(strategy="canary"), reason="", by="test")
        assert rollout is not None
        deployments.end(rollout, "finished", "better", "gateway g")
        said.append((PROMOTED, second))
        wait_for(lambda: champion_events(client) == said, "the canary's end was not told", 60)
    finally:
        serving.terminate()
        serving.communicate(timeout=60)
    assert len(hook.bodies) == 4


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_form_in_prefect_s_ui_starts_a_retrain(client: SyncPrefectClient, tmp_path: Path) -> None:
    deployment, reason = deployments()[1].apply(), "new refund policy, typed into the form"
    before = {run.id for run in runs_of(client, deployment)()}
    with chromium() as browser:
        address = str(client.api_url).removesuffix("/api/")
        page, strays = closed_page(browser, address, viewport={"width": 1280, "height": 1500})
        page.goto(f"/deployments/deployment/{deployment}/run")
        field = page.locator(".schema-form-property", has_text="Why this run: kept in the ledger.").last
        field.locator("textarea").fill(reason, timeout=UI_MS)
        page.screenshot(path=tmp_path / "form.png", full_page=True)
        page.click("button[type=submit]", timeout=UI_MS)
        page.wait_for_selector("text=scheduled to start", timeout=UI_MS)
        page.screenshot(path=tmp_path / "started.png", full_page=True)
    (run,) = [run for run in runs_of(client, deployment)() if run.id not in before]
    assert run.state_type == StateType.SCHEDULED
    assert run.created_by is None or run.created_by.type != "AUTOMATION"
    assert Request.model_validate(run.parameters["request"]).reason == reason
    assert [stray for stray in strays if stray.startswith("http")] == []


def champion_events(client: SyncPrefectClient) -> list[tuple[str, str]]:
    """Return what Prefect knows about who serves, the oldest event first."""
    chosen = {"filter": {"event": {"name": [PROMOTED, ROLLED_BACK]}, "order": "ASC"}, "limit": 50}
    found = httpx.post(f"{client.api_url}events/filter", json=chosen, timeout=30).json()["events"]
    return [(event["event"], event["resource"]["ratchet.model"]) for event in found]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_prefect_s_own_command_deploys_the_file_to_a_work_pool(client: SyncPrefectClient, repository: Path) -> None:
    environment = {**os.environ, "PREFECT_API_URL": str(client.api_url), "RATCHET_CHECKOUT": str(repository)}
    said = ""
    for command in (
        "work-pool create ratchet --type process",
        "--no-prompt deploy --all --prefect-file infra/prefect.yaml",
        "deployment ls",
        "automation ls",
    ):
        arguments = [sys.executable, "-W", "ignore", "-m", "prefect", *command.split()]
        done = subprocess.run(
            arguments, env=environment, cwd=repository, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        said += done.stdout
    for name in ("retrain/nightly", "retrain/on-demand", "monitor/every-15-minutes", "drift starts a retrain"):
        assert name in said


def emit(repository: Path, address: str) -> None:
    environment = {**os.environ, "PREFECT_API_URL": address, "PYTHONPATH": str(repository)}
    subprocess.run([sys.executable, "-c", EVENTS], env=environment, cwd=repository, check=True, timeout=120)


def runs_of(client: SyncPrefectClient, deployment_id: Any) -> Callable[[], list[FlowRun]]:
    chosen = DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id]))
    return lambda: client.read_flow_runs(deployment_filter=chosen, limit=50, sort=FlowRunSort.ID_DESC)
