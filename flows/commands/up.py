"""What `ratchet up` does: run Prefect's server and UI, the deployments, the gateway and Evidently's UI together.

Each is a process of its own, supervised until Ctrl-C or SIGTERM, and started again where it ends; when this ends, none
is left. While all answer, `<home>/up/ready.json` holds their addresses by name. Where PREFECT_API_URL names a server,
that one is used and none is started. All but the gateway listen on loopback alone: neither Prefect's nor Evidently's UI
asks who is there.
"""

import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import prefect
from prefect.settings import PREFECT_API_URL

from flows.runtime.prefect_address import NOTE
from tasks.adapters.storage.files import write_json, write_text
from tasks.adapters.system.ports import LOOPBACK, check_port
from tasks.adapters.system.supervisor import POLL_S, Service, Services
from tasks.settings import Settings

READY = Path("up") / "ready.json"  # below `home`: there while all is up
PREFECT, FLOWS, GATEWAY, EVIDENTLY = "Prefect", "deployments", "gateway", "Evidently"


def up(settings: Settings, echo: Callable[[str], None]) -> None:
    """Run all services until told to stop. Raises ExternalError where a port is taken, before anything is started."""
    stop, kill = threading.Event(), threading.Event()

    def on_signal(*_: object) -> None:
        (kill if stop.is_set() else stop).set()

    wanted = services(settings, PREFECT_API_URL.value())
    check_ports(settings, has_own_server=any(service.name == PREFECT for service in wanted))
    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    note = settings.home / NOTE
    write_text(note, PREFECT_API_URL.value() or _address(settings.prefect_port, "/api"))
    running = Services(wanted, echo)
    echo("Starting; Ctrl-C ends all of it.")
    ready, was_up = settings.home / READY, False
    ready.unlink(missing_ok=True)
    try:
        while not stop.wait(POLL_S):
            running.check()
            if not running.are_up:
                ready.unlink(missing_ok=True)
            elif not ready.exists():
                write_json(ready, {service.name: service.shown for service in wanted})
                if not was_up:
                    echo("All is up.")
                was_up = True
    finally:
        echo("Stopping ...")
        ready.unlink(missing_ok=True)
        running.end(kill.is_set)
        note.unlink(missing_ok=True)
        for number, handler in before.items():
            signal.signal(number, handler)
    echo("Stopped.")


def services(settings: Settings, api: str | None) -> list[Service]:
    """Return what is to run, in the order of its start. `api`: a Prefect API that somebody else runs."""
    logs = settings.home.absolute() / "up"
    own = [] if api else [_server(settings, logs)]
    address = api or _address(settings.prefect_port, "/api")
    known = {"PREFECT_API_URL": address, "PREFECT_RUNNER_POLL_FREQUENCY": "2", "RATCHET_TRIGGER": "deployment"}
    workspace = settings.home.absolute() / "evidently"
    host = settings.gateway_host
    shown = f"http://{f'[{host}]' if ':' in host else host}:{settings.gateway_port}"
    return [
        *own,
        Service(
            FLOWS,
            (sys.executable, "-m", "flows.deployments"),
            logs / "deployments.log",
            known,
            shown=f"served from {Path.cwd()}, at {address}",
            after=PREFECT if own else None,
        ),
        Service(
            GATEWAY,
            (sys.executable, "-m", "flows", "serve", "--host", host, "--port", str(settings.gateway_port)),
            logs / "gateway.log",
            known,
            shown=f"{shown}/v1",
            health_url=f"{shown}/healthz",
            is_printed=True,
        ),
        Service(
            EVIDENTLY,
            (
                *(sys.executable, "-m", "evidently.cli", "ui", "--host", LOOPBACK),
                *("--port", str(settings.evidently_port), "--workspace", str(workspace)),
            ),
            logs / "evidently.log",
            {"DO_NOT_TRACK": "1"},
            shown=_address(settings.evidently_port),
            health_url=_address(settings.evidently_port, "/api/version"),
        ),
    ]


def check_ports(settings: Settings, *, has_own_server: bool) -> None:
    """Raise ExternalError for the first port that another process has."""
    if has_own_server:
        check_port(LOOPBACK, settings.prefect_port, "The Prefect server", "RATCHET_PREFECT_PORT")
    check_port(settings.gateway_host, settings.gateway_port, "The gateway", "RATCHET_GATEWAY_PORT")
    check_port(LOOPBACK, settings.evidently_port, "Evidently's UI", "RATCHET_EVIDENTLY_PORT")


def _server(settings: Settings, logs: Path) -> Service:
    address = _address(settings.prefect_port)
    uvicorn = ("-m", "uvicorn", "--app-dir", str(Path(prefect.__file__).parent.parent), "--factory")
    where = ("--host", LOOPBACK, "--port", str(settings.prefect_port), "--log-level", "error", "--lifespan", "on")
    environment = {
        "PREFECT_HOME": str(logs / "prefect"),  # never shared with the private server of a run
        "PREFECT_API_URL": f"{address}/api",  # the UI asks there, whatever the port
        "PREFECT_UI_ENABLED": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT__SERVER_FINAL": "1",
    }
    return Service(
        PREFECT,
        (sys.executable, *uvicorn, "prefect.server.api.server:create_app", *where),
        logs / "prefect.log",
        environment,
        shown=address,
        health_url=f"{address}/api/health",
    )


def _address(port: int, path: str = "") -> str:
    return f"http://{LOOPBACK}:{port}{path}"
