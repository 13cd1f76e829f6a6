"""A gateway over real HTTP whose engine is a fake: it says what it is told to, as slowly as it is told to."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tasks.core.monitoring.drift_verdict import DriftVerdict
from tasks.serving.access.keys import KeyRing
from tasks.serving.access.usage_limits import Budgets
from tasks.serving.api.route_group import RouteGroup
from tasks.serving.config import ServeConfig
from tasks.serving.gateway.gateway import Gateway
from tasks.serving.records.recording import open_recorder
from tasks.serving.rollout.rollout_router import RolloutRouter
from tasks.serving.server import GatewayServer, route_groups, run
from tasks.settings import Settings
from tests.tasks.conftest import BAD, GOOD, Loop
from tests.tasks.serving.house import House, write_hour
from tests.tasks.serving.live_gateway import AT, FakeEngine, Kept, Live, Start, served


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Make a gateway and let it listen; it ends with the test."""
    threads: list[tuple[threading.Thread, Live]] = []

    def begin(
        recorder: Any = None, groups: Callable[[Gateway], Sequence[RouteGroup]] | None = None, **values: object
    ) -> Live:
        keys = KeyRing(tmp_path / "keys.json")
        admin, user = keys.create("boss", "admin", at=AT), keys.create("someone", "user", at=AT)
        assert admin is not None
        assert user is not None
        listener = socket.create_server(("127.0.0.1", 0))
        ready = threading.Event()
        made: list[Live] = []

        async def work() -> None:
            engine, kept = FakeEngine(), Kept()
            config = ServeConfig.model_validate({"timeout_s": 20.0, "drain_s": 10.0, **values})
            budgets = Budgets(tmp_path / "usage.json")
            gateway = Gateway(
                RolloutRouter(served(engine)), config, recorder=recorder or kept, keys=keys, budgets=budgets
            )
            server = GatewayServer(gateway, groups(gateway) if groups else ())
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            made.append(Live(gateway, engine, kept, admin, user, url, asyncio.get_running_loop(), server))
            ready.set()
            await server.serve(sockets=[listener])

        thread = threading.Thread(target=lambda: run(work()), daemon=True)
        thread.start()
        assert ready.wait(10)
        threads.append((thread, made[0]))
        return made[0]

    yield begin
    for thread, live in threads:
        for client in live.clients:
            client.close()
        assert live.server is not None
        assert live.loop is not None
        with contextlib.suppress(RuntimeError):  # it has ended already
            live.loop.call_soon_threadsafe(live.server.drain)
        thread.join(15)
        assert not thread.is_alive()


@pytest.fixture
def checkout(settings: Settings, tmp_path: Path) -> Settings:
    """Settings of a checkout that has a gateway."""
    urls = {name: str(tmp_path / name.removesuffix("_url")) for name in ("records_url", "feedback_url")}
    return settings.model_copy(update=urls)


@pytest.fixture
def house(start: Start, checkout: Settings) -> Iterator[House]:
    recorder = open_recorder(checkout)
    live = start(recorder=recorder, groups=lambda gateway: route_groups(gateway, recorder, checkout))
    live.gateway.metrics.collect_recorder(lambda: recorder.counts)
    yield House(live, checkout, recorder)
    assert recorder.close()


@pytest.fixture
def stocked(house: House, loop: Loop) -> House:
    """A house with a past: two verdicts, a day of answers, feedback, and a monitor run."""
    loop.turn(GOOD)
    loop.turn(BAD, seed=1)
    now = datetime.now(UTC)
    for back in (20, 9, 8, 5, 3, 2, 1):
        write_hour(house.settings, now - timedelta(hours=back), count=30 + 7 * back % 40, seed=back)
    folder = house.settings.home / "monitor" / "run"
    folder.mkdir(parents=True)
    verdict = DriftVerdict(
        outcome="CONFIRMED",
        headline="The traffic has drifted: it asks about something else.",
        reasons=["The questions come from elsewhere: effect 0.21, p 0.002."],
        rows=(1000, 512),
        findings=[],
    )
    (folder / "verdict.json").write_text(verdict.model_dump_json())
    (folder / "drift_report.html").write_text(
        "<!doctype html><title>Drift</title><h1>Drift report</h1><p id=w>no script</p>"
        "<script>document.getElementById('w').textContent = 'drawn by its own script'</script>"
    )
    return house
