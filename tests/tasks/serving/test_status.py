"""`ratchet status` beside a gateway that runs: `flows/commands/status.py` asks it over HTTP as it would any."""

import json
import os
import signal
import socket
import subprocess
import sys
from typing import Any

import pytest

from flows.commands.status import read_status, status_text
from tasks.settings import Settings


def beside(house: Any) -> Settings:
    """Return the settings with which the gateway is found."""
    port = int(house.live.url.rpartition(":")[2])
    made: Settings = house.settings.model_copy(update={"gateway_port": port})
    return made


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def test_where_nothing_has_happened_nothing_is_claimed(checkout: Settings) -> None:
    facts = read_status(checkout.model_copy(update={"gateway_port": unused_port()}))
    assert facts["gateway"] is facts["drift"] is None
    assert (facts["runs"], facts["ledger"], facts["budgets"]) == ([], [], [])
    text = status_text(facts)
    for words in ("does not run here", "not measured yet", "none yet", "none: `ratchet serve` makes one"):
        assert words in text


def test_a_running_gateway_tells_its_models_and_its_queue(stocked: Any) -> None:
    stocked.live.engine.pause_s = 0.2
    facts = read_status(beside(stocked))
    assert facts["gateway"]["status"] == "ready"
    assert facts["gateway"]["models"] == ["ratchet-aaaaaaaaaaaa"]
    assert (facts["gateway"]["running"], facts["gateway"]["waiting"]) == (0, 0)
    assert facts["drift"]["outcome"] == "CONFIRMED"
    assert facts["drift"]["rows"] == [1000, 512]
    assert [entry["what"].split()[0] for entry in facts["ledger"] if entry["kind"] == "verdict"] == [
        "REJECT",
        "PROMOTE",
    ]
    assert json.loads(json.dumps(facts)) == facts
    text = status_text(facts)
    assert "ready at http://127.0.0.1:" in text
    assert "CONFIRMED" in text


def test_what_each_key_has_used_stands_beside_what_it_may(house: Any) -> None:
    ring = house.live.gateway.keys
    ring.create("bot", "user", at="", tokens_per_day=5000, requests_per_minute=60)
    home = house.settings.home
    home.mkdir(parents=True, exist_ok=True)
    (home / "keys.json").write_bytes((home.parent / "keys.json").read_bytes())
    (home / "keys.json").chmod(0o600)
    bot = next(key for key in ring.all() if key.name == "bot")
    budgets = house.live.gateway.budgets
    budgets.spend(bot, 1234)
    budgets.save()
    (home / "serving").mkdir()
    (home / "serving" / "usage.json").write_bytes((home.parent / "usage.json").read_bytes())
    facts = read_status(beside(house))
    found = next(budget for budget in facts["budgets"] if budget["name"] == "bot")
    assert (found["tokens_today"], found["tokens_per_day"], found["requests_per_minute"]) == (1234, 5000, 60)
    assert "bot: 1,234 of 5,000 tokens today, 60 requests a minute" in status_text(facts)
    assert "sha256" not in json.dumps(facts)


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1", "localhost"])
def test_a_gateway_that_listens_everywhere_is_asked_here(house: Any, host: str) -> None:
    assert read_status(beside(house).model_copy(update={"gateway_host": host}))["gateway"] is not None


def test_watching_looks_again_until_it_is_interrupted(checkout: Settings) -> None:
    environment = {
        **os.environ,
        "RATCHET_HOME": str(checkout.home),
        "RATCHET_STORE_URL": checkout.store_url,
        "RATCHET_DATA": str(checkout.data),
        "RATCHET_GATEWAY_PORT": str(unused_port()),
    }
    command = [sys.executable, "-m", "flows", "status", "--watch", "--json", "--every", "0.5"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        looks = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert looks[0]["store"] == looks[1]["store"] == checkout.store_url
    assert "Traceback" not in errors
