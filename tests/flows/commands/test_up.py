"""`ratchet up`, whole: every address answers, and after Ctrl-C no process is left."""

import os
import signal
import socket
from pathlib import Path
from uuid import UUID

import httpx
import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.settings import PREFECT_API_URL, temporary_settings

from tasks.adapters.system.ports import free_ports
from tests.flows.conftest import FirstRun, wait_for

pytestmark = pytest.mark.slow


def test_one_command_starts_all_and_ctrl_c_ends_all(first_run: FirstRun, tmp_path: Path) -> None:
    checkout = first_run.copy(tmp_path / "checkout")
    prefect, gateway, evidently = free_ports(3)
    checkout.environment.update(
        RATCHET_PREFECT_PORT=str(prefect), RATCHET_GATEWAY_PORT=str(gateway), RATCHET_EVIDENTLY_PORT=str(evidently)
    )
    log = tmp_path / "up.log"
    with log.open("w") as output:
        process = checkout.start("up", into=output)
    family: dict[int, psutil.Process] = {}

    def is_up() -> bool:
        assert process.poll() is None, log.read_text()
        family.update({child.pid: child for child in psutil.Process(process.pid).children(recursive=True)})
        return "All is up." in log.read_text()

    try:
        wait_for(is_up, "not all is up", 240)
        said = log.read_text()
        ready = checkout.json(".ratchet/up/ready.json")
        assert (ready["Prefect"], ready["gateway"]) == (f"http://127.0.0.1:{prefect}", f"http://127.0.0.1:{gateway}/v1")
        for address in (f"http://127.0.0.1:{prefect}", f"http://127.0.0.1:{evidently}"):
            assert address in said
            assert "<html" in httpx.get(address, follow_redirects=True, timeout=30).text.lower()
        assert f"http://127.0.0.1:{gateway}/v1" in said
        assert "rk-" in said, "the first start prints the admin key"
        assert httpx.get(f"http://127.0.0.1:{gateway}/readyz", timeout=30).status_code == httpx.codes.OK
        api = {PREFECT_API_URL: f"http://127.0.0.1:{prefect}/api"}
        with temporary_settings(api), get_client(sync_client=True) as client:
            wait_for(lambda: len(deployed(client)) == 3, "the deployments are not there", 120)
            assert list(deployed(client)) == ["every-15-minutes", "nightly", "on-demand"]
            look = client.create_flow_run_from_deployment(deployed(client)["every-15-minutes"])
            wait_for(lambda: is_over(client, look.id), "the monitor's run does not end", 240)
        assert (checkout.root / "data/drift/report.html").exists()
        is_up()
        assert len(family) >= 4
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(120)
    assert process.returncode == 0, log.read_text()
    left = [child for child in family.values() if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert not left, [child.cmdline() for child in left]
    assert "Stopped." in log.read_text()
    assert not (checkout.root / ".ratchet/up/ready.json").exists()


def deployed(client: SyncPrefectClient) -> dict[str, UUID]:
    return dict(sorted((deployment.name, deployment.id) for deployment in client.read_deployments()))


def is_over(client: SyncPrefectClient, run: UUID) -> bool:
    """Return whether the run has ended well; fail where it ended otherwise."""
    state = client.read_flow_run(run).state
    assert state is not None
    assert state.type not in (StateType.FAILED, StateType.CRASHED, StateType.CANCELLED), state.message
    return state.is_completed()


def test_a_taken_port_is_said_before_anything_starts(first_run: FirstRun) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        checkout = first_run.checkout
        environment = {**checkout.environment, "RATCHET_PREFECT_PORT": str(port)}
        output = type(checkout)(checkout.root, environment).ratchet("up", code=4)
    assert f"127.0.0.1:{port}" in output
    assert "RATCHET_PREFECT_PORT" in output
    assert "Starting" not in output
    assert not [p for p in psutil.process_iter() if p.ppid() == os.getpid() and "flows" in " ".join(p.cmdline())]
