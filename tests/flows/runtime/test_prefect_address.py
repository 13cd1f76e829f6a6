"""The Prefect API in use is found without loading Prefect where nothing names one."""

import subprocess
import sys
from pathlib import Path

import pytest

ASK = (
    "import sys; from pathlib import Path; from flows.runtime.prefect_address import configured_api; "
    "print(configured_api(Path('.ratchet')), 'prefect' in sys.modules)"
)


@pytest.fixture
def prefect_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Path) -> Path:
    home = tmp_path / "prefect"
    home.mkdir()
    monkeypatch.setenv("PREFECT_HOME", str(home))
    monkeypatch.setenv("PYTHONPATH", str(repository))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    return home


def ask(folder: Path) -> str:
    return subprocess.run([sys.executable, "-c", ASK], cwd=folder, capture_output=True, text=True, check=True).stdout


def test_where_nothing_names_an_api_prefect_is_not_loaded(prefect_home: Path, workdir: Path) -> None:
    (workdir / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert ask(workdir) == "None False\n"


def test_an_address_in_the_environment_or_in_a_profile_is_found(
    prefect_home: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = 'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "http://127.0.0.1:9/api"\n'
    (prefect_home / "profiles.toml").write_text(profile)
    assert ask(workdir) == "http://127.0.0.1:9/api True\n"
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:8/api")
    assert ask(workdir) == "http://127.0.0.1:8/api True\n"


def test_an_address_in_a_file_of_this_folder_is_found(prefect_home: Path, workdir: Path) -> None:
    (workdir / "prefect.toml").write_text('[api]\nurl = "http://127.0.0.1:7/api"\n')
    assert ask(workdir) == "http://127.0.0.1:7/api True\n"
