import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.adapters.storage.object_store_s3 import S3Store
from tasks.core.errors import ExternalError
from tests.tasks.adapters.conftest import client


def test_a_missing_bucket_is_one_sentence(moto_endpoint: str, fake_credentials: None) -> None:
    store = S3Store("no-such-bucket", "", moto_endpoint)
    for act in (
        lambda: store.get("a"),
        lambda: store.put_if_absent("a", b""),
        lambda: store.list(""),
        lambda: store.upload("a", Path(__file__)),
    ):
        with pytest.raises(ExternalError, match=r"bucket 'no-such-bucket' does not exist at http.*create it"):
            act()


def test_an_endpoint_that_does_not_answer_is_one_sentence(fake_credentials: None) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ExternalError, match=r"cannot be reached at http.*RATCHET_S3_ENDPOINT_URL"):
            S3Store("bucket", "", endpoint).get("a")


def test_absent_credentials_are_one_sentence(moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(ExternalError, match="needs credentials: set AWS_ACCESS_KEY_ID"):
        S3Store("bucket", "", moto_endpoint).get("a")


@pytest.mark.s3
@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_credentials_are_one_sentence(name: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "WRONGWRONGWRONGWRONG")
    for act in (lambda s: s.get("a"), lambda s: s.put_if_absent("a", b""), lambda s: s.list(""), lambda s: s.size("a")):
        with pytest.raises(ExternalError, match="refused the credentials"):
            act(S3Store("bucket", "", s3_endpoint))


@pytest.mark.s3
def test_a_real_server_says_so_when_the_bucket_is_missing(s3_endpoint: str) -> None:
    with pytest.raises(ExternalError, match="bucket 'no-such-bucket' does not exist"):
        S3Store("no-such-bucket", "", s3_endpoint).put_if_absent("a", b"")


class Meddler:
    """Stands between a store and its real client, and lets a test decide what a put answers."""

    def __init__(self, real: Any, on_put: Callable[..., Any]) -> None:
        self._real, self._on_put = real, on_put

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def put_object(self, **arguments: Any) -> Any:
        return self._on_put(self._real, **arguments)


def error(code: str, status: int = 412) -> Exception:
    from botocore.exceptions import ClientError

    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject")


@pytest.fixture
def bucket_store(moto_endpoint: str, fake_credentials: None) -> S3Store:
    client(moto_endpoint).create_bucket(Bucket="meddled")
    return S3Store("meddled", "", moto_endpoint)


def test_a_put_that_succeeded_but_was_repeated_by_the_network_is_still_ours(bucket_store: S3Store) -> None:
    def lose_the_first_answer(real: Any, **arguments: Any) -> None:
        real.put_object(**arguments)
        raise error("PreconditionFailed")  # what the repetition is told

    bucket_store._client = Meddler(bucket_store._client, lose_the_first_answer)
    assert bucket_store.put_if_absent("repeated", b"x")
    assert bucket_store.compare_and_swap("repeated", b"x", b"y")
    assert bucket_store.get("repeated") == b"y"


@pytest.mark.parametrize("wants_quotes", [True, False])
def test_both_forms_of_an_etag_are_tried_and_the_right_one_is_remembered(
    bucket_store: S3Store, wants_quotes: bool
) -> None:
    refused = []

    def picky(real: Any, **arguments: Any) -> Any:
        if arguments.get("IfMatch", '"').startswith('"') is not wants_quotes:
            refused.append(arguments["IfMatch"])
            raise error("PreconditionFailed")
        return real.put_object(**arguments)

    key = f"picky-{wants_quotes}"
    bucket_store.put_if_absent(key, b"1")
    bucket_store._client = Meddler(bucket_store._client, picky)
    assert bucket_store.compare_and_swap(key, b"1", b"2")
    assert bucket_store.compare_and_swap(key, b"2", b"3")
    assert len(refused) == (0 if wants_quotes else 1)


def test_a_conflict_with_another_write_under_way_is_tried_again(bucket_store: S3Store) -> None:
    answers = [error("ConditionalRequestConflict", 409), error("ConditionalRequestConflict", 409)]

    def busy(real: Any, **arguments: Any) -> Any:
        if answers:
            raise answers.pop()
        return real.put_object(**arguments)

    bucket_store.put_if_absent("busy", b"1")
    bucket_store._client = Meddler(bucket_store._client, busy)
    assert bucket_store.compare_and_swap("busy", b"1", b"2")
    answers.append(error("ConditionalRequestConflict", 409))
    assert bucket_store.put_if_absent("busy-2", b"1")


def test_a_key_that_never_settles_is_one_sentence(bucket_store: S3Store) -> None:
    def always_busy(_: Any, **__: Any) -> Any:
        raise error("ConditionalRequestConflict", 409)

    bucket_store.put_if_absent("stuck", b"1")
    bucket_store._client = Meddler(bucket_store._client, always_busy)
    with pytest.raises(ExternalError, match="did not settle"):
        bucket_store.compare_and_swap("stuck", b"1", b"2")


def test_an_unexpected_answer_names_its_code(bucket_store: S3Store) -> None:
    def broken(_: Any, **__: Any) -> Any:
        raise error("SlowDown", 503)

    bucket_store._client = Meddler(bucket_store._client, broken)
    with pytest.raises(ExternalError, match="answered SlowDown"):
        bucket_store.put_if_absent("x", b"1")
