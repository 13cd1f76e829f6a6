"""The gateway keeps what its OpenAPI document promises (schemathesis, over real HTTP)."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks.core import prompt


@pytest.mark.parametrize("answer", [" The default is None.\n", prompt.ABSTENTION])
def test_no_request_breaks_the_gateway_or_its_document(start: Any, tmp_path: Path, answer: str) -> None:
    live = start()
    live.engine.text = answer
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{live.url}/openapi.json"]
    options = ["--max-examples=40", "--seed=1", "--no-color", "--suppress-health-check=all"]
    header = ["--header", f"Authorization: Bearer {live.admin}"]
    result = subprocess.run(
        [*command, *options, *header],
        cwd=tmp_path,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    print(result.stdout[-5000:])
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
    assert len([record for record in live.kept.records if record.status == "ok"]) > 20
