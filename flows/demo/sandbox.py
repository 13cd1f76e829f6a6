"""Make a copy of this checkout for the demo: champion, ledger, code and configs, but no records of served answers.

Makes `<folder>/`, a git and DVC repository with a store, records and services of its own, on ports of its own; nothing
that runs there reads or writes anything of the checkout it came from, or of its store. Caveat: sources that are files
are read where they lie.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from flows.commands.up import READY
from tasks.adapters.release.registry import Registry, open_registry
from tasks.adapters.storage.files import write_text
from tasks.adapters.storage.object_store import FolderStore, Store
from tasks.adapters.system.ports import LOOPBACK, free_ports
from tasks.adapters.system.processes import die_with_parent
from tasks.core.digests import short
from tasks.core.errors import DataError, ExternalError
from tasks.runner import find_stage, profile_file, read_yaml
from tasks.serving.access.keys import key_ring
from tasks.settings import Settings

START_S, END_S = 240.0, 90.0
CACHES = ("answers", "embeddings", "pseudonym.key")  # of `home`: they save time and hold nothing raw
FOREIGN = ("PREFECT_API_URL", "PREFECT_API_KEY", "RATCHET_TRIGGER")
KEPT_SETTINGS = ("RATCHET_MODEL_CACHE", "RATCHET_THREADS")


@dataclass(frozen=True)
class Sandbox:
    """The copy, and how to run things in it."""

    root: Path
    settings: Settings
    environment: Mapping[str, str]

    @property
    def gateway(self) -> str:
        return f"http://{LOOPBACK}:{self.settings.gateway_port}"

    @property
    def prefect(self) -> str:
        return f"http://{LOOPBACK}:{self.settings.prefect_port}"

    @property
    def logs(self) -> Path:
        """Folder of what the services of `ratchet up` print."""
        return self.settings.home / READY.parent

    def registry(self) -> Registry:
        return open_registry(self.settings)

    def configure(self, stage: str, values: Mapping[str, object]) -> None:
        """Overlay values in a stage's YAML."""
        file = self.root / find_stage(stage).config_file
        write_text(file, yaml.safe_dump({**read_yaml(file), **values}, sort_keys=False))

    def ratchet(self, *arguments: str) -> str:
        """Run `ratchet ARGUMENTS` here and return what it printed. Raises ExternalError where that fails."""
        done = subprocess.run(
            [sys.executable, "-m", "flows", *arguments],
            cwd=self.root,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
            raise ExternalError(f"`ratchet {' '.join(arguments)}` failed in {self.root}: {last}")
        return done.stdout

    def ratchet_json(self, *arguments: str) -> dict[str, Any]:
        """Run `ratchet ARGUMENTS --json` here and return what it told. Raises ExternalError where that fails."""
        told: dict[str, Any] = json.loads(self.ratchet(*arguments, "--json"))
        return told

    def add_keys(self, names: Sequence[str]) -> list[str]:
        """Make a key of the gateway for each name, as an administrator would."""
        ring, now = key_ring(self.settings), datetime.now(UTC).isoformat()
        return [ring.create(name, "user", at=now) for name in names]

    @contextmanager
    def up(self) -> Iterator[None]:
        """Run `ratchet up` here until the block ends."""
        log = self.root / ".ratchet" / "up.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "flows", "up"],
                cwd=self.root,
                env={**self.environment, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,
            )
        try:
            _wait_until_up(process, self.settings.home / READY, log)
            yield
        finally:
            process.terminate()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def make_sandbox(root: Path, settings: Settings, profile: str) -> Sandbox:
    """Make the copy anew, its configs overlaid with the profile's values.

    Raises DataError where there is no champion that the loop could go on from, ConfigError for an unknown profile.
    """
    store = open_registry(settings).store
    champion = _champion(store)
    overlay: dict[str, Any] = read_yaml(profile_file(profile))
    shutil.rmtree(root, ignore_errors=True)
    _copy_checkout(root)
    _copy_version(store, FolderStore(root / ".ratchet" / "store"), champion)
    for name in CACHES:
        _copy(settings.home / name, root / ".ratchet" / name)
    made = _sandbox(root.absolute())
    for stage, values in overlay.items():
        made.configure(stage, values)
    _point_to_files(made)
    return made


def _champion(store: Store) -> str:
    pointer = Registry(store).pointer("champion")
    if pointer is None:
        raise DataError(f"The store {store.address} has no champion yet: `ratchet run` makes one.")
    if store.size(f"models/{pointer.model}/reference.parquet") is None:
        raise DataError(
            f"The champion {short(pointer.model)} came without what its traffic is compared with: `ratchet run` again."
        )
    return pointer.model


def _copy_checkout(root: Path) -> None:
    """Copy what git knows or would add, and make a repository of it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], capture_output=True, check=False
    )
    if listed.returncode:
        raise ExternalError(f"{Path.cwd()} is no git checkout: run ratchet at the top of one.")
    for name in filter(None, listed.stdout.decode().split("\0")):
        if Path(name).is_file() and Path(name).name != "dvc.lock":
            _copy(Path(name), root / name)
    identity = ["-c", "user.name=ratchet", "-c", "user.email=ratchet@localhost"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "The checkout as it was"]):
        subprocess.run(["git", *command], cwd=root, check=True)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    elif source.exists():
        shutil.copy2(source, target)


def _copy_version(source: Store, target: Store, digest: str) -> None:
    """Copy the ledger, the champion pointer, and all of the version it means."""
    blobs = [f"blobs/{ref.sha256}" for ref in Registry(source).manifest(digest).files.values()]
    keys = [*source.list("ledger"), *source.list(f"models/{digest}/"), "pointers/champion.json", *blobs]
    with tempfile.TemporaryDirectory(prefix="ratchet-sandbox-") as folder:
        passing = Path(folder) / "file"
        for key in dict.fromkeys(keys):
            if source.download(key, passing):
                target.upload(key, passing)


def _sandbox(root: Path) -> Sandbox:
    prefect, gateway, evidently = free_ports(3)
    home = root / ".ratchet"
    settings = Settings(
        home=home,
        data=root / "data",
        store_url=str(home / "store"),
        records_url=str(home / "records"),
        feedback_url=str(home / "feedback"),
        prefect_port=prefect,
        gateway_port=gateway,
        evidently_port=evidently,
        gateway_host=LOOPBACK,
    )
    kept = {n: v for n, v in os.environ.items() if not n.startswith("RATCHET_") or n in KEPT_SETTINGS}
    own = {
        "RATCHET_PREFECT_PORT": str(prefect),
        "RATCHET_GATEWAY_PORT": str(gateway),
        "RATCHET_EVIDENTLY_PORT": str(evidently),
        "PREFECT_HOME": str(home / "prefect-client"),
    }
    return Sandbox(root, settings, {n: v for n, v in {**kept, **own}.items() if n not in FOREIGN})


def _point_to_files(sandbox: Sandbox) -> None:
    """Let sources that name files by a relative path mean those of the checkout that was copied."""
    file = sandbox.root / find_stage("ingest").config_file
    sources = read_yaml(file).get("sources", [])
    for source in sources if isinstance(sources, list) else []:
        for field in ("documents", "conversations"):
            if isinstance(source, dict) and field in source:
                source[field] = [_absolute(location) for location in source[field]]
    sandbox.configure("ingest", {"sources": sources})


def _absolute(location: str) -> str:
    return location if "://" in location else str(Path.cwd() / location)


def _wait_until_up(process: "subprocess.Popen[bytes]", ready: Path, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise ExternalError(f"`ratchet up` did not come up: read {log}.")
        time.sleep(0.5)
