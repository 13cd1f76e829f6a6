"""A Prefect API for a run: the user's, where one is configured, else a private one that ends with the run."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import prefect
from prefect.logging.handlers import APILogHandler
from prefect.settings import PREFECT_API_URL, temporary_settings

from tasks.adapters.system.processes import die_with_parent
from tasks.core.errors import ExternalError

START_TIMEOUT_S = 120.0
POLL_S = 0.1
NOTE = Path("up") / "prefect_api"  # below `home`: the address of the server that `ratchet up` runs


@contextmanager
def prefect_api(home: Path) -> Iterator[str]:
    """Yield the address of an API that answers: the configured one, that of `ratchet up` here, or a private one.

    A private server keeps its database below `home`/prefect. Raises ExternalError when none answers in time.
    """
    configured = PREFECT_API_URL.value() or running_api(home)
    if configured:
        _wait(configured, None)
        with temporary_settings({PREFECT_API_URL: configured}):
            yield configured
        return
    (port,) = free_ports(1)
    address = f"http://127.0.0.1:{port}/api"
    server = _start(port, home.absolute() / "prefect")
    try:
        _wait(address, server)
        with temporary_settings({PREFECT_API_URL: address}):
            try:
                yield address
            finally:
                APILogHandler().flush()  # while there is still a server to send the last lines to
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def running_api(home: Path) -> str | None:
    """Return the address of the API that `ratchet up` runs in this checkout, where it answers."""
    try:
        address = (home / NOTE).read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return address if answers(address) else None


def answers(address: str) -> bool:
    """Return whether a Prefect API answers at the address."""
    try:
        return httpx.get(f"{address.rstrip('/')}/health", timeout=5).status_code == httpx.codes.OK
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


def _start(port: int, folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(Path(prefect.__file__).parent.parent)]
    command += ["--factory", "prefect.server.api.server:create_app", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--log-level", "error", "--lifespan", "on"]
    environment = {
        **os.environ,
        "PREFECT_HOME": str(folder),
        "PREFECT_UI_ENABLED": "0",
        "PREFECT__SERVER_EPHEMERAL": "1",
        "PREFECT__SERVER_FINAL": "1",
    }
    with (folder / "server.log").open("wb") as log:
        return subprocess.Popen(
            command,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent,
        )


def _wait(address: str, server: subprocess.Popen[bytes] | None) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if answers(address):
            return
        if server is None or server.poll() is not None:
            break
        time.sleep(POLL_S)
    raise ExternalError(
        f"No Prefect API answers at {address}: start it, or unset PREFECT_API_URL to use a private one."
    )


def free_ports(count: int) -> list[int]:
    """Return so many ports of loopback that nobody listens on."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
