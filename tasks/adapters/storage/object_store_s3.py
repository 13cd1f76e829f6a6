"""The store in an S3 bucket (boto3), by conditional writes.

Reads and writes objects below `prefix`. Small objects are single puts with If-None-Match or If-Match; a completed
multipart upload ignores such conditions on some servers, so only content-named blobs go that way. Every conditional put
carries a token of its own: a put that the network repeated is then known as ours when the server says 412.
Source: Amazon S3 User Guide, "conditional writes"; servers differ in whether If-Match wants the ETag's quotes.
"""

import logging
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.adapters.storage import s3_errors

logger = logging.getLogger(__name__)

MISSING = {"NoSuchKey", "404", "NotFound"}
CONDITION_FAILED = {"PreconditionFailed", "412"}
CONFLICT = {"ConditionalRequestConflict", "409"}
TOKEN = "ratchet-writer"  # metadata key of the writer's token  # noqa: S105 (no secret)
MAX_TRIES = 8
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 5, 60
PAGE_KEYS = 1000  # the most that S3 lists at once


@dataclass(frozen=True)
class _Object:
    data: bytes
    etag: str
    token: str


class S3Store:
    """A store in an existing bucket; credentials come from boto3's own chain (AWS_* variables, profile, role)."""

    def __init__(self, bucket: str, prefix: str = "", endpoint_url: str | None = None) -> None:
        import boto3
        from botocore.config import Config

        self.bucket, self.prefix, self.endpoint_url = bucket, prefix, endpoint_url
        self._quoted = True
        session = boto3.session.Session()  # one of its own: boto3's default session keeps the first credentials it saw
        self._client: Any = session.client(
            "s3",
            endpoint_url=endpoint_url,
            region_name=session.region_name or "us-east-1",
            config=Config(
                s3={"addressing_style": "path" if endpoint_url else "auto"},
                retries={"mode": "standard", "max_attempts": 3},
                connect_timeout=CONNECT_TIMEOUT_S,
                read_timeout=READ_TIMEOUT_S,
                max_pool_connections=32,
            ),
        )

    @property
    def address(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def get(self, key: str) -> bytes | None:
        found = self._read(key)
        return None if found is None else found.data

    def put_if_absent(self, key: str, data: bytes) -> bool:
        for _ in range(MAX_TRIES):
            token = uuid.uuid4().hex
            outcome = self._put(key, data, token, IfNoneMatch="*")
            if outcome == "written":
                return True
            found = self._read(key)
            if found is not None:
                return found.token == token
        raise s3_errors.busy(f"{self.address}/{key}", MAX_TRIES)

    def compare_and_swap(self, key: str, expected: bytes | None, data: bytes) -> bool:
        if expected is None:
            return self.put_if_absent(key, data)
        found = self._read(key)
        for _ in range(MAX_TRIES):
            if found is None or found.data != expected:
                return False
            token = uuid.uuid4().hex
            outcome = self._put(key, data, token, IfMatch=found.etag if self._quoted else found.etag.strip('"'))
            if outcome == "written":
                return True
            found = self._read(key)
            if found is not None and found.token == token:
                return True
            if outcome == "refused" and found is not None and found.data == expected:
                self._quoted = not self._quoted  # nothing changed, so the server wants the ETag's other form
        raise s3_errors.busy(f"{self.address}/{key}", MAX_TRIES)

    def list(self, prefix: str) -> list[str]:
        with s3_errors.explained(self.bucket, self.address, self.endpoint_url):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self._key(prefix), PaginationConfig={"PageSize": PAGE_KEYS}
            )
            names = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return sorted(name.removeprefix(self._key("")) for name in names)

    def size(self, key: str) -> int | None:
        with s3_errors.explained(self.bucket, self.address, self.endpoint_url):
            try:
                return int(self._client.head_object(Bucket=self.bucket, Key=self._key(key))["ContentLength"])
            except self._client.exceptions.ClientError as error:
                if s3_errors.code_of(error) in MISSING:
                    return None
                raise

    def upload(self, key: str, path: Path) -> None:
        from boto3.exceptions import S3UploadFailedError

        with s3_errors.explained(self.bucket, self.address, self.endpoint_url):
            try:
                self._client.upload_file(str(path), self.bucket, self._key(key))
            except S3UploadFailedError as error:  # hides the cause it was raised from
                raise error.__context__ or error from None

    def download(self, key: str, path: Path) -> bool:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        with s3_errors.explained(self.bucket, self.address, self.endpoint_url):
            try:
                self._client.download_file(self.bucket, self._key(key), str(part))
            except self._client.exceptions.ClientError as error:
                if s3_errors.code_of(error) in MISSING:
                    return False
                raise
        part.replace(path)
        return True

    def _key(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def _read(self, key: str) -> _Object | None:
        with s3_errors.explained(self.bucket, self.address, self.endpoint_url):
            try:
                answer = self._client.get_object(Bucket=self.bucket, Key=self._key(key))
            except self._client.exceptions.NoSuchKey:
                return None
            return _Object(answer["Body"].read(), answer["ETag"], answer["Metadata"].get(TOKEN, ""))

    def _put(self, key: str, data: bytes, token: str, **condition: str) -> str:
        """Return "written", "refused" (the condition does not hold) or "conflict" (another write was under way)."""
        with s3_errors.explained(self.bucket, self.address, self.endpoint_url):
            try:
                self._client.put_object(
                    Bucket=self.bucket, Key=self._key(key), Body=data, Metadata={TOKEN: token}, **condition
                )
            except self._client.exceptions.ClientError as error:
                code = s3_errors.code_of(error)
                if code in CONDITION_FAILED or (code in MISSING and "IfMatch" in condition):
                    return "refused"
                if code in CONFLICT:
                    return "conflict"
                raise
        return "written"
