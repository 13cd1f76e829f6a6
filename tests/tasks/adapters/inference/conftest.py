"""A server on loopback that behaves as vLLM's OpenAI-compatible API does, faults included."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


class VllmServer(ThreadingHTTPServer):
    """Serves the stub that it belongs to."""

    def __init__(self, stub: "VllmStub") -> None:
        super().__init__(("127.0.0.1", 0), VllmHandler)
        self.stub = stub


class VllmStub:
    """Keeps connections open; `fault` is how it misbehaves."""

    def __init__(self) -> None:
        self.models = ["base"]
        self.bodies: list[dict[str, Any]] = []
        self.fault: str | None = None
        self.hung_up = threading.Event()
        self.server = VllmServer(self)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class VllmHandler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    server: VllmServer

    def do_GET(self) -> None:
        self._reply(200, {"data": [{"id": name} for name in self.server.stub.models]})

    def do_POST(self) -> None:
        stub, body = self.server.stub, json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("lora_adapter"):
            self._manage(body)
            return
        stub.bodies.append(body)
        if stub.fault == "closed while idle" and len(stub.bodies) == 2:
            self._break_off()
        elif stub.fault in ("400", "503"):
            self._reply(int(stub.fault), {"error": {"message": "a secret of the prompt"}})
        else:
            self._answer()

    def _manage(self, body: dict[str, str]) -> None:
        stub = self.server.stub
        if stub.fault == "no lora":
            self._reply(404, {"detail": "Not Found"})
        elif "unload" in self.path:
            stub.models.remove(body["lora_name"])
            self._reply(200, {})
        elif body["lora_name"] in stub.models:
            self._reply(400, {"error": {"message": "The lora adapter has already been loaded."}})
        else:
            stub.models.append(body["lora_name"])
            self._reply(200, {})

    def _answer(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "keep-alive")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._event({"choices": [{"delta": {"role": "assistant", "content": ""}}]})
        self._event({"choices": [{"delta": {"content": "Hel"}}]})
        if self.server.stub.fault == "endless":
            self._go_on()
        elif self.server.stub.fault == "breaks off":
            self._break_off()
        else:
            self._event({"choices": [{"delta": {"content": "lo"}, "finish_reason": "length"}]})
            self._event({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}})
            self._chunk("data: [DONE]\n\n")
            self._chunk("")

    def _go_on(self) -> None:
        """Answer until the client is gone."""
        try:
            while True:
                self._event({"choices": [{"delta": {"content": "l"}}]})
        except OSError:
            self.server.stub.hung_up.set()
            self.close_connection = True

    def _break_off(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _event(self, value: dict[str, Any]) -> None:
        self._chunk(f"data: {json.dumps(value)}\n\n")

    def _chunk(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def _reply(self, status: int, value: dict[str, Any]) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def stub() -> Iterator[VllmStub]:
    made = VllmStub()
    yield made
    made.close()
