"""Fixtures that every test may use."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.settings import OFFLINE_ENVIRONMENT, Settings

os.environ.update(OFFLINE_ENVIRONMENT)  # before any library that reads it at import

REPOSITORY = Path(__file__).parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--chaos-kills", type=int, default=0, help="How many processes test_chaos.py kills.")


@pytest.fixture
def repository() -> Path:
    """The checkout under test."""
    return REPOSITORY


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings whose every folder lies below the test's own, the shared model cache aside."""
    return Settings(home=tmp_path / ".ratchet", data=tmp_path / "data", store_url=str(tmp_path / "store"))
