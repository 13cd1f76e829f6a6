"""Stores for tests: a folder, a bucket of moto's server in this process, one of a real S3 server if there is one.

And a judge: a small real server that answers as an OpenAI-compatible endpoint does, rightly or wrongly.
"""

import contextlib
import json
import re
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tasks.adapters.storage.object_store import Store, open_store

BACKENDS = ["folder", "moto", pytest.param("s3", marks=pytest.mark.s3)]


@pytest.fixture
def fake_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of each kind."""
    return make_store(request, request.param, tmp_path)


def make_store(request: pytest.FixtureRequest, backend: str, folder: Path) -> Store:
    """Return an empty store of the kind `backend`."""
    if backend == "folder":
        return open_store(str(folder / "store"))
    if backend == "moto":
        request.getfixturevalue("fake_credentials")
        endpoint = request.getfixturevalue("moto_endpoint")
    else:
        endpoint = request.getfixturevalue("s3_endpoint")
    bucket = f"ratchet-{uuid.uuid4().hex[:12]}"
    client(endpoint).create_bucket(Bucket=bucket)
    return open_store(f"s3://{bucket}/some/prefix", endpoint)


def client(endpoint: str, **options: Any) -> Any:
    """Return a plain boto3 client with the credentials of the moment."""
    import boto3

    return boto3.session.Session().client("s3", endpoint_url=endpoint, region_name="us-east-1", **options)


@pytest.fixture
def moto_store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty bucket of moto's server."""
    return make_store(request, "moto", tmp_path)


class JudgeStub:
    """An OpenAI-compatible judge on loopback: `knows` what it holds for true; `fault` is how it misbehaves."""

    def __init__(self) -> None:
        self.knows: set[str] = set()
        self.fault: str | None = None
        self.asked: list[str] = []
        self.in_flight = self.most_in_flight = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def reply(self, body: dict[str, Any]) -> tuple[int, str]:
        """Return status and content for a request, by the name of the schema it asks for."""
        system, user = (message["content"] for message in body["messages"])
        schema = re.findall(r'"title": "(\w+)"', system)[-1]
        asked = json.loads(user[user.rindex("input: ") + 7 : user.rindex("Output:")])
        self.asked.append(schema)
        if self.fault == "slow":
            time.sleep(3)
        if self.fault == "error 500" or (self.fault == "sometimes" and "unlucky" in user):
            return 500, "out of memory"
        return 200, "I think it is fine." if self.fault == "prose" else json.dumps(self._answer(schema, asked))

    def _answer(self, schema: str, asked: dict[str, Any]) -> dict[str, Any]:
        if schema == "StatementGeneratorOutput":
            return {"statements": [asked["answer"]]}
        if schema == "NLIStatementOutput":
            judged = [{"statement": s, "reason": "-", "verdict": int(s in self.knows)} for s in asked["statements"]]
            return {"statements": judged}
        if schema == "ClaimDecompositionOutput":
            return {"claims": [asked["response"]]}
        if schema == "ContextRecallOutput":
            return {"classifications": [{"statement": asked["answer"], "reason": "-", "attributed": 1}]}
        if schema == "AnswerRelevanceOutput":
            return {"question": "What does it do?", "noncommittal": 0}
        return {"reason": "-", "verdict": 1}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stub, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                with lock:
                    stub.in_flight += 1
                    stub.most_in_flight = max(stub.most_in_flight, stub.in_flight)
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, content = stub.reply(body)
                message = {"role": "assistant", "content": content}
                choice = {"index": 0, "finish_reason": "stop", "message": message}
                data = json.dumps(
                    {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
                )
                with contextlib.suppress(OSError):  # a caller that waited long enough has hung up
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data.encode())
                with lock:
                    stub.in_flight -= 1

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


@pytest.fixture
def judge_stub() -> Iterator[JudgeStub]:
    """A judge that can be made to fail."""
    stub = JudgeStub()
    yield stub
    stub.close()
