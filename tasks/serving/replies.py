"""What the handlers of several files share: reading a bounded body, and refusals as responses."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tasks.serving.api_error import ApiError


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
