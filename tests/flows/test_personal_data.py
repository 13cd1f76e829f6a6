"""Planted personal data goes through a gateway's API and the monitor's flow; then every byte that they left is read.

The gateway is a process of its own, and only its upstream is made up: it says what it was asked, as it was asked.
"""

import json
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote_plus

import httpx
import pytest
import yaml

from tasks.adapters.monitoring.traffic_table import write_traffic
from tasks.adapters.monitoring.window_log import WindowLog
from tasks.adapters.retrieval.embedder import load_embedder
from tasks.adapters.retrieval.index import write_index
from tasks.adapters.storage.object_store import open_store
from tasks.core.monitoring.served_traffic import row_of
from tasks.core.retrieval.passages import cut
from tests.flows.conftest import Checkout, Hook
from tests.gateway_process import Served, make_checkout, serving
from tests.planted import planted, readable_bytes
from tests.tasks.answers import answer

pytestmark = pytest.mark.slow

MODULES = ("json", "csv", "shutil", "glob", "gzip", "pickle", "string", "base64")
USUAL = [f"What does {m}.{name} return?" for m in MODULES for name in ("open", "dumps", "join", "copy", "match")]
TOPIC = "How does colorsys convert rgb to hls?"
BROKEN = "break now"
SETTLE_S = 11.0  # the monitor leaves answers alone that are younger than ten seconds


class Upstream(BaseHTTPRequestHandler):
    """An OpenAI-compatible server that says what it was asked, or fails with it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._send(200, "application/json", '{"data": [{"id": "base"}]}')

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][-1]["content"]
        if BROKEN in asked:
            return self._send(500, "application/json", json.dumps({"error": {"message": asked}}))
        usage = {"prompt_tokens": 50, "completion_tokens": 20}
        said: list[object] = [{"choices": [{"delta": {"content": f"It is about this: {asked}"}}]}]
        said += [{"choices": [{"delta": {}, "finish_reason": "stop"}]}, {"choices": [], "usage": usage}]
        lines = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in said)
        return self._send(200, "text/event-stream", f"{lines}data: [DONE]\n\n")

    def _send(self, status: int, kind: str, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def upstream() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Upstream) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


@pytest.fixture
def checkout(tmp_path: Path, upstream: str, hook: Hook, repository: Path) -> Checkout:
    """A checkout whose base model has served usual questions so far; a window is whole with few rows."""
    root = make_checkout(tmp_path / "checkout", timeout_s=60)
    (root / "configs" / "monitor").unlink()
    for stage in ("collect", "drift"):
        values = yaml.safe_load((repository / f"configs/monitor/{stage}.yaml").read_text())
        path = root / "configs" / "monitor" / f"{stage}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump({**values, "min_rows": 50}))
    embedder = load_embedder()
    passages = cut("d1", "json", "json.dumps returns a string; csv.open and gzip.open return a file.")
    (root / "data" / "index").mkdir(parents=True)
    vectors = embedder.embed([passage.text for passage in passages])
    write_index(root / "data/index", passages, {"d1": "json"}, vectors, embedder=("all-minilm-l6-v2", embedder.digest))
    rows = [row_of(answer(f"before-{n}", USUAL[n % len(USUAL)], retrieval_scores=[0.6]), None) for n in range(150)]
    write_traffic(tmp_path / "served.parquet", rows, embedder.embed([row["question"] for row in rows]), embedder.digest)
    WindowLog(open_store(str(root / ".ratchet/store")), "base").keep_served(tmp_path / "served.parquet")
    environment = {
        "PYTHONPATH": str(repository),
        "PREFECT_HOME": str(root / ".ratchet" / "prefect-client"),
        "RATCHET_UPSTREAM_URL": upstream,
        "RATCHET_ALERT_WEBHOOK_URL": hook.url,
    }
    return Checkout(root, environment)


def test_no_byte_that_gateway_and_monitor_leave_holds_planted_personal_data(
    checkout: Checkout, hook: Hook, tmp_path: Path
) -> None:
    pairs = planted(random.Random(3))
    values = [value for _, value in pairs]
    sent = tmp_path / "sent.txt"
    sent.write_text("\n".join(sentence for sentence, _ in pairs))
    assert len(found_in(readable_bytes(sent), values)) == len(values) == 100, "the scan sees what it looks for"
    with serving(checkout.root, checkout.environment) as served:
        said_back = put_to(served, [sentence for sentence, _ in pairs])
        assert len(found_in(said_back, values)) == 100, "whoever asks has an answer in his own words"
        time.sleep(SETTLE_S)
        printed = checkout.ratchet("monitor")
        before = left_in(checkout.root)
    after = left_in(checkout.root)
    assert any(name.startswith(".ratchet/records/") and b"PAR1" in content for name, content in after.items())
    leaks = {
        f"{name}: {value}"
        for files in (before, after, {"printed": printed.encode(), "webhook": json.dumps(hook.bodies).encode()})
        for name, content in files.items()
        for value in found_in(content, values)
    }
    assert not leaks, sorted(leaks)[:20]
    assert_the_scan_is_about_something(before, printed)


def put_to(served: Served, sentences: list[str]) -> bytes:
    """Ask each sentence in a question about a new topic, give feedback on some answers, and return all replies."""
    with (
        httpx.Client(base_url=served.url, headers={"Authorization": f"Bearer {served.key}"}, timeout=60) as client,
        ThreadPoolExecutor(8) as pool,
    ):

        def ask(question: str, system: str = "Be brief.") -> httpx.Response:
            turns = [{"role": "system", "content": system}, {"role": "user", "content": question}]
            return client.post("/v1/chat/completions", json={"model": "ratchet", "messages": turns, "user": system})

        usual = list(pool.map(ask, USUAL))
        new = list(pool.map(lambda sentence: ask(f"{TOPIC} {sentence}", sentence), sentences))
        assert {reply.status_code for reply in (*usual, *new)} == {200}
        failed = [ask(f"{BROKEN} {sentence}") for sentence in sentences[::10]]
        assert {reply.status_code for reply in failed} & {500, 502, 503}
        for reply, sentence in zip(new[::10], sentences[::10], strict=True):
            opinion = {"answer_id": reply.json()["id"], "thumb": "down", "correction": sentence, "reason": sentence}
            assert client.post("/v1/feedback", json=opinion).status_code == 201
        return b"\n".join(json.dumps(reply.json(), ensure_ascii=False).encode() for reply in new)


def left_in(root: Path) -> dict[str, bytes]:
    """Return what every file of the checkout holds."""
    files = {}
    for path in root.rglob("*"):
        try:
            if path.is_file() and not path.is_relative_to(root / "configs"):
                files[str(path.relative_to(root))] = readable_bytes(path)
        except FileNotFoundError:  # the gateway renames its files
            continue
    return files


def found_in(content: bytes, values: list[str]) -> list[str]:
    """Return which of the values stand there, as they are or as a file or an address may write them."""
    codecs = ("utf-8", "utf-16-le")
    forms = {value: {form.encode(c) for form in (value, quote_plus(value)) for c in codecs} for value in values}
    return [value for value, written in forms.items() if any(form in content for form in written)]


def assert_the_scan_is_about_something(files: dict[str, bytes], printed: str) -> None:
    """Each place that could leak was written to in this run, and shows the topic in which the items were planted."""
    assert "SUSPECTED" in printed
    by_kind = {  # an hour that ended meanwhile has no journal any more, but its Parquet file
        "records": [name for name in files if name.startswith((".ratchet/journal/", ".ratchet/records/"))],
        "feedback": [name for name in files if name.startswith(".ratchet/feedback/")],
        "window": ["data/collect/window.parquet"],
        "page": ["data/drift/report.html"],
        "store": [name for name in files if name.startswith(".ratchet/store/monitor/base/00000001")],
        "Prefect": [name for name in files if name.startswith(".ratchet/prefect/prefect.db")],
    }
    for kind, names in by_kind.items():
        assert names, (kind, sorted(files))
        assert any(b"colorsys" in files[name] for name in names), kind
    assert any(name.startswith(".ratchet/evidently/") for name in files)
    assert "log" in files
    assert b"<EMAIL_" in files["data/collect/window.parquet"], "pseudonyms stand in the place of what was planted"
