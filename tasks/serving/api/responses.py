"""Shared by the request handlers: reading a body up to a limit, and error responses that quote no text."""

import logging
import traceback

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tasks.serving.protocol.api_error import ApiError

logger = logging.getLogger(__name__)


async def read_body(request: Request, limit: int) -> bytes:
    """Return the request's body. Raises ApiError 413 as soon as it is too large."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise ApiError(
                413,
                f"The body is larger than {limit} bytes.",
                code="request_too_large",
                headers={"Connection": "close"},
            )
        parts.append(part)
    return b"".join(parts)


def error_headers(error: ApiError) -> dict[str, str]:
    """Return the headers of a refusal."""
    retry = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
    return {**error.headers, **retry}


def error_response(error: ApiError) -> Response:
    """Return the refusal as OpenAI's API has it."""
    return JSONResponse(error.body.model_dump(), error.status, headers=error_headers(error))


def failure(what: str, error: Exception) -> ApiError:
    """Log where an unforeseen error came from, never its message, which could quote a text; return what is told."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    logger.error("%s failed with %s at %s:%s", what, type(error).__name__, place.filename, place.lineno)
    return internal_error()


def internal_error() -> ApiError:
    """Return what a client is told of an unforeseen error."""
    return ApiError(500, "The gateway failed: its log says where.", "server_error", "internal_error")
