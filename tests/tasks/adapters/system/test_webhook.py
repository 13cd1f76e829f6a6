"""An alert is posted and counted, and one that cannot be delivered hinders nothing."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tasks.adapters.system.webhook import alert_counts, post_alert

EVENT = {"event": "ratchet.drift.detected", "model": "abc", "severity": "high", "slices": ["scipy, stats"]}


class Hook(HTTPServer):
    """A webhook that keeps what it is sent and answers with `status`."""

    def __init__(self, status: int = 204) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.bodies = status, []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?token=secret"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hook() -> Iterator[Hook]:
    server = Hook()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_event_arrives_as_json_and_is_counted(hook: Hook, tmp_path: Path) -> None:
    assert post_alert(hook.url, EVENT, tmp_path)
    assert post_alert(hook.url, EVENT, tmp_path)
    assert hook.bodies == [EVENT, EVENT]
    assert alert_counts(tmp_path) == {"sent": 2, "failed": 0}


def test_a_refused_alert_is_counted_and_said_without_the_address(hook: Hook, tmp_path: Path, caplog) -> None:
    hook.status = 500
    assert not post_alert(hook.url, EVENT, tmp_path)
    assert alert_counts(tmp_path) == {"sent": 0, "failed": 1}
    assert "HTTP 500" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("address", ["http://127.0.0.1:{port}/hook?token=secret", "nonsense"])
def test_a_webhook_out_of_reach_fails_nothing(address: str, tmp_path: Path, caplog) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert not post_alert(address.format(port=port), EVENT, tmp_path)
    assert alert_counts(tmp_path) == {"sent": 0, "failed": 1}
    assert "secret" not in caplog.text
