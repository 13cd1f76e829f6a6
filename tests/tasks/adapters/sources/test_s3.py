"""Objects of a bucket as source files: against moto, and against a real server where there is one."""

import os
import socket
import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tasks.adapters.sources import s3
from tasks.adapters.sources.documents import DOCUMENT_SUFFIXES, SourceTerms, read_documents
from tasks.adapters.sources.listing import fingerprint, list_files
from tasks.adapters.sources.s3 import list_objects
from tasks.core.errors import ConfigError, ExternalError

OBJECTS = {
    "docs/a.md": b"# A\n\nFirst.",
    "docs/sub/b.jsonl": b'{"text": "one"}\n{"text": "two"}\n',
    "docs-old/c.md": b"old",
}


@pytest.fixture
def mock_s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="sources")
        for key, body in OBJECTS.items():
            client.put_object(Bucket="sources", Key=key, Body=body)
        client.put_object(Bucket="sources", Key="docs/folder/", Body=b"")
        yield client


@pytest.mark.usefixtures("mock_s3")
@pytest.mark.parametrize(
    ("location", "found"),
    [
        ("s3://sources/docs/", ["a.md", "sub/b.jsonl"]),
        ("s3://sources/docs", ["docs/a.md", "docs/sub/b.jsonl"]),
        ("s3://sources", ["docs-old/c.md", "docs/a.md", "docs/sub/b.jsonl"]),
        ("s3://sources/docs/a.md", ["a.md"]),
        ("s3://sources/docs*/*.md", ["docs-old/c.md", "docs/a.md"]),
    ],
)
def test_a_prefix_gives_its_objects_in_order(location: str, found: list[str]) -> None:
    files = list_objects(location, None)
    assert [file.relative for file in files] == found
    assert all(file.uri.startswith("s3://sources/docs") for file in files)


def test_objects_are_read_as_files_are(mock_s3: Any, raw_zone: Any, outcome: Any, tmp_path: Any) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": ["three"]}), tmp_path / "t.parquet")
    mock_s3.upload_file(str(tmp_path / "t.parquet"), "sources", "docs/t.parquet")
    with raw_zone() as zone:
        read_documents(list_files(["s3://sources/docs/"], DOCUMENT_SUFFIXES, None), zone, SourceTerms("MIT", 1000))
    assert [row["text"] for row in outcome.documents] == ["A\n\nFirst.", "one", "two", "three"]
    assert outcome.documents[0]["uri"] == "s3://sources/docs/a.md"
    assert outcome.documents[0]["seen_at"].endswith("Z")


def test_an_altered_object_changes_the_fingerprint(mock_s3: Any) -> None:
    before = fingerprint(list_objects("s3://sources/docs/", None))
    assert before == fingerprint(list_objects("s3://sources/docs/", None))
    mock_s3.put_object(Bucket="sources", Key="docs/a.md", Body=b"# A\n\nOther.")
    assert fingerprint(list_objects("s3://sources/docs/", None)) != before


@pytest.mark.usefixtures("mock_s3")
@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("s3://missing-bucket/docs/", "Bucket 'missing-bucket' of source s3://missing-bucket/docs/ does not exist"),
        ("s3://Not_A_Bucket!/x", "is no valid s3://bucket/prefix"),
    ],
)
def test_a_bucket_that_is_not_there_is_said_in_one_sentence(location: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        list_objects(location, None)


def test_a_server_that_does_not_answer_is_worth_another_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(s3, "MAX_ATTEMPTS", 1)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(ExternalError, match="cannot be reached to read s3://sources/docs/"):
            list_objects("s3://sources/docs/", endpoint)


def test_missing_credentials_are_named(monkeypatch: pytest.MonkeyPatch, workdir: Any) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(workdir / "none"))
    with pytest.raises(ConfigError, match="set AWS_ACCESS_KEY_ID"):
        list_objects("s3://sources/docs/", "http://127.0.0.1:9")


@pytest.fixture
def real_bucket(s3_endpoint: str) -> Iterator[str]:
    client = boto3.client("s3", endpoint_url=s3_endpoint)
    bucket = f"ratchet-{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=bucket)
    for key, body in OBJECTS.items():
        client.put_object(Bucket=bucket, Key=key, Body=body)
    yield bucket
    for key in OBJECTS:
        client.delete_object(Bucket=bucket, Key=key)
    client.delete_bucket(Bucket=bucket)


@pytest.mark.s3
def test_a_real_server_gives_the_same(
    real_bucket: str, s3_endpoint: str, raw_zone: Any, outcome: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = list_files([f"s3://{real_bucket}/docs/"], DOCUMENT_SUFFIXES, s3_endpoint)
    assert fingerprint(files) == fingerprint(list_files([f"s3://{real_bucket}/docs/"], DOCUMENT_SUFFIXES, s3_endpoint))
    with raw_zone() as zone:
        read_documents(files, zone, SourceTerms("MIT", 1000))
    assert [row["text"] for row in outcome.documents] == ["A\n\nFirst.", "one", "two"]
    with pytest.raises(ConfigError, match="does not exist"):
        list_objects(f"s3://{real_bucket}-gone/docs/", s3_endpoint)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(ConfigError, match="refuses to let us read"):
        list_objects(f"s3://{real_bucket}/docs/", s3_endpoint)
