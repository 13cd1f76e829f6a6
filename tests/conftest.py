"""Fixtures that every test may use."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.settings import OFFLINE_ENVIRONMENT, Settings

os.environ.update(OFFLINE_ENVIRONMENT)  # before any library that reads it at import

S3_ENDPOINT = "RATCHET_TEST_S3_ENDPOINT"
REPOSITORY = Path(__file__).parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--chaos-kills", type=int, default=3, help="How many processes test_chaos.py kills.")


@pytest.fixture
def repository() -> Path:
    """The checkout under test."""
    return REPOSITORY


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def s3_endpoint() -> str:
    """The real S3 server's address; without one, skip and say why."""
    endpoint = os.environ.get(S3_ENDPOINT)
    if not endpoint:
        pytest.skip(f'needs a real S3 server: eval "$(infra/s3-for-tests.sh start)" sets {S3_ENDPOINT}')
    return endpoint


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    """An S3 API in this process. It checks no credentials."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings whose every folder lies below the test's own, the shared model cache aside."""
    return Settings(home=tmp_path / ".ratchet", data=tmp_path / "data", store_url=str(tmp_path / "store"))
