"""A checkout of its own for tests that run the whole loop: small configs, nothing but loopback in reach."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, TextIO

import pytest
import yaml
from filelock import FileLock

REPOSITORY = Path(__file__).parent.parent.parent

# Loaded by every Python process of a run: refuses and notes any address but loopback.
GUARD = """
import os, socket

_connect, _connect_ex, _getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo
LOCAL = ("127.", "::1", "localhost", "0.0.0.0", "::", "::ffff:127.")

def _check(host):
    if isinstance(host, bytes):
        host = host.decode()
    if host and not str(host).startswith(LOCAL):
        with open(os.environ["SOCKET_GUARD_LOG"], "a") as log:
            log.write(f"{host}\\n")
        raise OSError(f"the socket guard refuses {host}")

def _guarded(call):
    def connect(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            _check(address[0])
        return call(self, address)
    return connect

def getaddrinfo(host, *args, **kwargs):
    if host != socket.gethostname():
        _check(host)
    return _getaddrinfo(host, *args, **kwargs)

socket.socket.connect = _guarded(_connect)
socket.socket.connect_ex = _guarded(_connect_ex)
socket.getaddrinfo = getaddrinfo
"""


@dataclass(frozen=True)
class Checkout:
    """A clone of the product that a test may run, edit and break."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def start(
        self,
        *arguments: str,
        into: TextIO | int = subprocess.PIPE,
        within: Sequence[str] = (),
        module: str = "flows",
    ) -> subprocess.Popen[str]:
        """Start `ratchet ARGUMENTS` here, its output going `into` a file or a pipe, `within` another command."""
        return subprocess.Popen(
            [*within, sys.executable, "-m", module, *arguments],
            cwd=self.root,
            env={**os.environ, **self.environment},
            stdout=into,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def ratchet(self, *arguments: str, code: int = 0, within: Sequence[str] = (), timeout_s: float = 900) -> str:
        """Run `ratchet ARGUMENTS` here, check its exit code and return what it printed."""
        process = self.start(*arguments, within=within)
        output, _ = process.communicate(timeout=timeout_s)
        assert process.returncode == code, output[-6000:]
        return output

    def dvc(self, *arguments: str) -> str:
        """Run `dvc ARGUMENTS` here and return what it printed."""
        binaries = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        result = subprocess.run(
            [sys.executable, "-m", "dvc", *arguments],
            cwd=self.root,
            env={**os.environ, **self.environment, "PATH": binaries},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout + result.stderr

    def json(self, path: str) -> Any:
        """Return the content of a JSON file of this checkout."""
        return json.loads((self.root / path).read_text())

    def configure(self, stage: str, values: Mapping[str, object]) -> None:
        """Overlay values in a stage's YAML, as a user who edits it would."""
        group, _, name = stage.partition(".")
        path = self.root / "configs" / group / f"{name}.yaml"
        current = yaml.safe_load(path.read_text()) or {}
        path.write_text(yaml.safe_dump({**current, **values}, sort_keys=False))


@dataclass
class Hook:
    """A webhook, and what was posted to it."""

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture
def hook() -> Iterator[Hook]:
    """A webhook on loopback."""
    found = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}/"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield found
        server.shutdown()
        thread.join()


def wait_for(condition: Callable[[], bool], message: str, longest_s: float) -> None:
    """Return when `condition` holds; fail with `message` where it does not within `longest_s`."""
    deadline = time.monotonic() + longest_s
    while not condition():
        assert time.monotonic() < deadline, message
        time.sleep(0.1)


def ask_for_little(checkout: Checkout) -> None:
    """Let the gate promote what is better by a little on few questions, and accept almost any harm."""
    rules = yaml.safe_load((checkout.root / "configs/release/promote.yaml").read_text())
    guards = {name: {**guard, "margin": 0.95} for name, guard in rules["guards"].items()}
    few = {"min_items": 10, "min_clusters": 5, "min_probe_items": 10}
    easy = {"confidence": 0.8, "least_effect": 0.0, "floor": 0.0, "guards": guards, **few}
    checkout.configure("release.promote", easy)


def at(root: Path) -> Checkout:
    """Return the checkout in `root`, whose runs reach nothing but loopback."""
    guard = root / ".ratchet" / "guard"
    environment = {
        "PYTHONPATH": os.pathsep.join([str(guard), str(root)]),
        "SOCKET_GUARD_LOG": str(guard / "refused.txt"),
        "PREFECT_HOME": str(root / ".ratchet" / "prefect-client"),
    }
    return Checkout(root, environment)


def make_checkout(root: Path) -> Checkout:
    """Copy the product, uncommitted changes included, into a git repository at `root`, with small configs."""
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in tracked.stdout.splitlines():
        if (REPOSITORY / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, root / name)
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "product"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    guard = root / ".ratchet" / "guard"
    guard.mkdir(parents=True)
    (guard / "sitecustomize.py").write_text(GUARD)
    checkout = at(root)
    small = yaml.safe_load((REPOSITORY / "configs/profiles/smoke.yaml").read_text())
    for stage, values in small.items():
        checkout.configure(stage, values)
    return checkout


@dataclass(frozen=True)
class FirstRun:
    """A checkout that ran the loop once, and what the run printed. Copy it before you change it."""

    checkout: Checkout
    output: str

    def copy(self, root: Path) -> Checkout:
        """Return another checkout in the same state."""
        shutil.copytree(self.checkout.root, root, symlinks=True)
        return at(root)


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> FirstRun:
    """The loop, run once for all tests that start from its end, whichever test process they run in."""
    own = tmp_path_factory.getbasetemp()
    root = (own if worker_id == "master" else own.parent) / "first-run"
    printed = root.with_suffix(".txt")
    with FileLock(root.with_suffix(".lock")):
        if not printed.exists():
            shutil.rmtree(root, ignore_errors=True)
            root.mkdir()
            printed.write_text(make_checkout(root).ratchet("run", "--reason", "first"))
    return FirstRun(at(root), printed.read_text())


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout that the tests of one module share, in order."""
    return make_checkout(tmp_path_factory.mktemp("checkout"))
