"""Stores for tests: a folder, a bucket of moto's server in this process, one of a real S3 server if there is one."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.adapters.storage import Store, open_store

S3_ENDPOINT = "RATCHET_TEST_S3_ENDPOINT"
BACKENDS = ["folder", "moto", pytest.param("s3", marks=pytest.mark.s3)]


def s3_endpoint() -> str:
    """Return the real S3 server's address, or skip and say why."""
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
def fake_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of each kind."""
    return make_store(request, request.param, tmp_path)


def make_store(request: pytest.FixtureRequest, backend: str, folder: Path) -> Store:
    """Return an empty store of the kind `backend`."""
    if backend == "folder":
        return open_store(str(folder / "store"))
    if backend == "moto":
        request.getfixturevalue("fake_credentials")
        endpoint = request.getfixturevalue("moto_endpoint")
    else:
        endpoint = s3_endpoint()
    bucket = f"ratchet-{uuid.uuid4().hex[:12]}"
    client(endpoint).create_bucket(Bucket=bucket)
    return open_store(f"s3://{bucket}/some/prefix", endpoint)


def client(endpoint: str, **options: Any) -> Any:
    """Return a plain boto3 client with the credentials of the moment."""
    import boto3

    return boto3.session.Session().client("s3", endpoint_url=endpoint, region_name="us-east-1", **options)


@pytest.fixture
def moto_store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty bucket of moto's server."""
    return make_store(request, "moto", tmp_path)
