"""What boto3 raises, as one sentence: what failed, where, and what to do next."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tasks.core.errors import ExternalError

REFUSED = {
    "AccessDenied", "403", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
}  # fmt: skip


@contextmanager
def explained(bucket: str, address: str, endpoint_url: str | None) -> Iterator[None]:
    """Turn what boto3 raises in the block into an ExternalError about the store at `address`."""
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError, NoCredentialsError

    where = endpoint_url or "Amazon S3"
    try:
        yield
    except NoCredentialsError as error:
        raise ExternalError(
            f"The store {address} needs credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        ) from error
    except ClientError as error:
        raise ExternalError(_sentence(code_of(error), bucket, address, where)) from error
    except (ConnectionError, HTTPClientError) as error:
        raise ExternalError(
            f"The store {address} cannot be reached at {where}: start it or correct RATCHET_S3_ENDPOINT_URL."
        ) from error
    except BotoCoreError as error:
        raise ExternalError(f"The store {address} at {where} failed ({error}): run again.") from error


def busy(address: str, tries: int) -> ExternalError:
    """Return the error of an object that others keep writing."""
    return ExternalError(f"{address} did not settle in {tries} tries because others keep writing it: run again.")


def code_of(error: Any) -> str:
    """Return the code of a botocore ClientError."""
    return str(error.response.get("Error", {}).get("Code", "unknown"))


def _sentence(code: str, bucket: str, address: str, where: str) -> str:
    if code == "NoSuchBucket":
        return f"The bucket {bucket!r} does not exist at {where}: create it or correct RATCHET_STORE_URL."
    if code in REFUSED:
        return f"{where} refused the credentials for the store {address} ({code}): correct the AWS_* variables."
    return f"{where} answered {code} for the store {address}: run again, or look at the server's log."
