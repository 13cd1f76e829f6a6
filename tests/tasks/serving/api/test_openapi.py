"""The gateway keeps what its OpenAPI document promises (schemathesis, over real HTTP)."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.slow
def test_no_request_breaks_the_gateway_or_its_document(stocked: Any, tmp_path: Path) -> None:
    live = stocked.live
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{live.url}/openapi.json"]
    options = ["--max-examples=40", "--seed=1", "--no-color", "--suppress-health-check=all"]
    result = subprocess.run(
        [*command, *options, "--header", f"Authorization: Bearer {live.admin}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
    assert stocked.recorder.flush()
    assert stocked.recorder.counts.recorded > 20


def test_the_document_describes_every_route_with_its_methods(house: Any) -> None:
    document = house.live.get("/openapi.json").json()
    described = {
        (path, method) for path, entry in document["paths"].items() for method in entry if method != "parameters"
    }
    served = {
        (route.path, method.lower())
        for route in house.live.server.config.app.routes
        for method in route.methods - {"HEAD"}
        if route.path != "/openapi.json"
    }
    assert described == served
    assert len(described) > 12


def test_the_document_names_the_models_that_are_served(start: Any) -> None:
    live = start()
    live.swap("b" * 64)
    document = live.get("/openapi.json").json()
    assert document["components"]["schemas"]["ChatRequest"]["properties"]["model"]["enum"] == [
        "ratchet",
        "ratchet-bbbbbbbbbbbb",
    ]
    assert "503" in document["paths"]["/v1/chat/completions"]["post"]["responses"]
