"""Objects of an S3 bucket as source files (boto3). Credentials come from the environment, as boto3 finds them.

Works with Amazon's service and any server that speaks its protocol; the endpoint is an argument.
"""

import fnmatch
import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO

from tasks.adapters.sources.source_file import SourceFile
from tasks.core.errors import ConfigError, ExternalError, RatchetError

SCHEME = "s3://"
BUFFER_BYTES = 1 << 20
MAX_ATTEMPTS = 4


def list_objects(location: str, endpoint_url: str | None) -> list[SourceFile]:
    """Return the objects below `s3://bucket/prefix`, or those that match `s3://bucket/folder/*.md`, by key.

    Raises ConfigError where the bucket is missing or closed to us, ExternalError where the server cannot be reached.
    """
    bucket, _, pattern = location.removeprefix(SCHEME).partition("/")
    has_glob = any(mark in pattern for mark in "*?[")
    prefix = pattern[: min(pattern.find(m) for m in "*?[" if m in pattern)] if has_glob else pattern
    root = prefix.rpartition("/")[0]
    with _plainly(location, endpoint_url):
        client = _client(endpoint_url)
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        found = [entry for page in pages for entry in page.get("Contents", [])]
    return [
        _source_file(client, bucket, entry, root, endpoint_url)
        for entry in sorted(found, key=lambda entry: entry["Key"])
        if not entry["Key"].endswith("/")
        and (fnmatch.fnmatchcase(entry["Key"], pattern) if has_glob else _is_below(entry["Key"], prefix))
    ]


def _is_below(key: str, prefix: str) -> bool:
    """Return whether `key` is the object `prefix` or lies in that folder: docs is not the folder of docs-old/a.md."""
    return not prefix or prefix.endswith("/") or key == prefix or key.startswith(prefix + "/")


def _source_file(client: Any, bucket: str, entry: dict[str, Any], root: str, endpoint_url: str | None) -> SourceFile:
    key = entry["Key"]
    return SourceFile(
        uri=f"{SCHEME}{bucket}/{key}",
        relative=key[len(root) :].lstrip("/"),
        size=entry["Size"],
        version=entry["ETag"].strip('"'),
        modified_at=entry["LastModified"].timestamp(),
        open=partial(_open, client, bucket, key, endpoint_url),
        path=None,
    )


@contextmanager
def _open(client: Any, bucket: str, key: str, endpoint_url: str | None) -> Iterator[BinaryIO]:
    location = f"{SCHEME}{bucket}/{key}"
    with _plainly(location, endpoint_url):
        body = client.get_object(Bucket=bucket, Key=key)["Body"]
        try:
            yield io.BufferedReader(body, BUFFER_BYTES)
        finally:
            body.close()


def _client(endpoint_url: str | None) -> Any:
    import boto3
    from botocore.config import Config

    config = Config(connect_timeout=10, read_timeout=60, retries={"max_attempts": MAX_ATTEMPTS, "mode": "standard"})
    return boto3.Session().client("s3", endpoint_url=endpoint_url, config=config)


@contextmanager
def _plainly(location: str, endpoint_url: str | None) -> Iterator[None]:
    """Say in one sentence what boto3 says in many classes."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise _refusal(error, location, endpoint_url) from None
    except BotoCoreError as error:
        raise _no_connection(error, location, endpoint_url) from None


def _refusal(error: Any, location: str, endpoint_url: str | None) -> RatchetError:
    code, server = error.response.get("Error", {}).get("Code", "unknown"), endpoint_url or "Amazon S3"
    if code == "NoSuchBucket":
        bucket = location.removeprefix(SCHEME).partition("/")[0]
        return ConfigError(
            f"Bucket {bucket!r} of source {location} does not exist at {server}: create it or correct `sources`."
        )
    if code in ("AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AllAccessDisabled"):
        return ConfigError(
            f"{server} refuses to let us read {location} ({code}): check AWS_ACCESS_KEY_ID and its rights."
        )
    return ExternalError(f"{server} answered {code} to reading {location}: try again later.")


def _no_connection(error: Any, location: str, endpoint_url: str | None) -> RatchetError:
    from botocore.exceptions import NoCredentialsError, NoRegionError, ParamValidationError, PartialCredentialsError

    if isinstance(error, (NoCredentialsError, PartialCredentialsError, NoRegionError)):
        return ConfigError(f"No credentials to read {location}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
    if isinstance(error, (ParamValidationError, ValueError)):
        return ConfigError(f"{location} is no valid s3://bucket/prefix: correct `sources`.")
    server = endpoint_url or "Amazon S3"
    return ExternalError(f"{server} cannot be reached to read {location} ({type(error).__name__}): try again later.")
