"""Give a run a Prefect API: the user's, where one is configured, else a private server that ends with the run."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import prefect
from prefect.logging.handlers import APILogHandler
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.runtime.prefect_address import answers, configured_api
from tasks.adapters.system.ports import LOOPBACK, free_ports
from tasks.adapters.system.processes import die_with_parent
from tasks.core.errors import ExternalError

START_TIMEOUT_S = 120.0
POLL_S = 0.1


@contextmanager
def prefect_api(home: Path) -> Iterator[str]:
    """Yield the address of an API that answers: the configured one, that of `ratchet up` here, or a private one.

    A private server keeps its database below `home`/prefect. Raises ExternalError when none answers in time.
    """
    configured = configured_api(home)
    if configured:
        _wait(configured, None)
        with temporary_settings({PREFECT_API_URL: configured}):
            yield configured
        return
    (port,) = free_ports(1)
    address = f"http://{LOOPBACK}:{port}/api"
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


def _start(port: int, folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(Path(prefect.__file__).parent.parent)]
    command += ["--factory", "prefect.server.api.server:create_app", "--host", LOOPBACK, "--port", str(port)]
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
