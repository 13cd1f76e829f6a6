"""The whole process with the real engine: a swap and a rollback under load, and a kill."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasks.adapters.records.answer_log import read_records
from tasks.adapters.records.record_place import RecordPlace
from tasks.adapters.release.registry import Move, Registry
from tasks.adapters.storage.object_store import open_store
from tasks.core.release.lineage import BaseFact
from tasks.settings import Settings
from tests.tasks.ledger_facts import verdict_facts
from tests.tasks.serving.gateway.test_served_model import AT, real_champion, register, running

QUESTION = "Within how many days can goods be sent back for a refund?"
CLIENTS = 6
LOST_S = 1.5  # the last second, and what a request takes to be written about


def another_version(registry: Registry, champion: str, root: Path) -> str:
    """Register the champion's parts with another adapter that changes nothing either."""
    shutil.copytree(root, root.with_name("another"))
    config = root.with_name("another") / "adapter" / "adapter_config.json"
    config.write_text(json.dumps({"r": 4, "lora_alpha": 16}))
    manifest = registry.manifest(champion)
    base = BaseFact(id=manifest.base.id, digest=manifest.base.digest)
    return register(registry, root.with_name("another"), base, manifest.index_version)


class Load:
    """Clients that ask all the time; what they got is kept with the time at which it was there."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._headers = url, {"Authorization": f"Bearer {key}"}
        self.answers: list[tuple[float, dict[str, Any]]] = []
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(CLIENTS)]

    def _ask(self, number: int) -> None:
        body = {"model": "ratchet", "user": f"u{number}", "max_tokens": 6}
        with httpx.Client(headers=self._headers, timeout=60) as client:
            while not self._stop.is_set():
                chat = {**body, "messages": [{"role": "user", "content": QUESTION}]}
                try:
                    reply = client.post(f"{self._url}/chat/completions", json=chat)
                except httpx.HTTPError as error:
                    self.failures.append(type(error).__name__)
                    return
                if reply.status_code != 200:
                    self.failures.append(str(reply.status_code))
                    return
                self.answers.append((time.time(), reply.json()))

    def since(self, moment: float, model: str) -> bool:
        """Return whether that model has answered since then."""
        return any(at > moment and body["model"] == f"ratchet-{model[:12]}" for at, body in list(self.answers))

    def wait(self, moment: float, model: str, longest_s: float) -> float:
        """Return after how many seconds the model's first answer was there."""
        while not self.since(moment, model):
            assert time.time() - moment < longest_s, self.failures
            time.sleep(0.02)
        return min(at for at, body in self.answers if at > moment and body["model"] == f"ratchet-{model[:12]}") - moment

    @contextmanager
    def going(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()


@pytest.mark.slow
def test_a_swap_a_rollback_and_a_kill_under_load(settings: Settings, tmp_path: Path, repository: Path) -> None:
    registry = Registry(open_store(settings.store_url))
    first = real_champion(registry, tmp_path / "champion")
    second = another_version(registry, first, tmp_path / "champion")
    records = tmp_path / "records"
    environment = {
        "RATCHET_HOME": str(settings.home),
        "RATCHET_STORE_URL": settings.store_url,
        "RATCHET_RECORDS_URL": str(records),
        "RATCHET_FEEDBACK_URL": str(tmp_path / "feedback"),
        "RATCHET_DATA": str(settings.data),
        "PYTHONPATH": str(repository),
    }
    key = ""
    with running(environment, repository, tmp_path / "log") as (process, said):
        key = re.search(r"rk-\S+", "".join(said))[0]  # type: ignore[index]
        load = Load(re.search(r"http://\S+/v1", said[-1])[0], key)  # type: ignore[index]
        with load.going():
            load.wait(time.time(), first, 120)
            entry = registry.ledger.append(verdict_facts(), "second", at=AT)
            moved = time.time()
            registry.move(Move("champion", second, entry, AT, "test"))
            swapped_s = load.wait(moved, second, 120)
            began = time.time()
            told = subprocess.run(
                [sys.executable, "-m", "flows", "rollback", "--reason", "a drill"],
                cwd=repository,
                env={**os.environ, **environment},
                capture_output=True,
                text=True,
                check=True,
            )
            rolled_back_s = load.wait(began, first, 30)
            assert not load.failures
            process.send_signal(signal.SIGKILL)
            killed = time.time()
    print(f"swap {swapped_s:.1f} s, rollback {rolled_back_s:.1f} s, {len(load.answers)} answers; {told.stdout}")  # noqa: T201
    assert rolled_back_s < 5
    assert "Every running gateway has followed" in told.stdout
    kept = read_records(
        RecordPlace(settings.home / "journal", open_store(str(records))),
        datetime.now(UTC) - timedelta(hours=1),
        datetime.now(UTC) + timedelta(minutes=1),
    )
    models = dict(kept.select("answer_id", "model").iter_rows())
    answered = {body["id"]: (at, body["model"]) for at, body in load.answers}
    lost = {id_: killed - at for id_, (at, _) in answered.items() if id_ not in models}
    assert all(seconds < LOST_S for seconds in lost.values()), lost
    assert all(name == f"ratchet-{models[id_][:12]}" for id_, (_, name) in answered.items() if id_ in models)
    with running(environment, repository, tmp_path / "log2") as (_, said):
        assert f"ratchet-{first[:12]} answers at" in said[-1]
        again = Load(re.search(r"http://\S+/v1", said[-1])[0], key)  # type: ignore[index]
        with again.going():
            again.wait(time.time(), first, 60)
