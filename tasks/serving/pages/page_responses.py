"""Responses of the pages: headers that allow nothing from elsewhere, forms, refusals as a page or as JSON."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from tasks.adapters.html_page import render_page
from tasks.core.errors import DataError, ExternalError, RatchetError
from tasks.serving.api.responses import error_headers, error_response, read_body
from tasks.serving.pages.cached_read import CachedRead
from tasks.serving.protocol.api_error import ApiError

T = TypeVar("T")


SIGN_IN = Path(__file__).with_name("sign_in.html.j2")


FORM_BYTES = 65_536


MAX_FIELDS = 20


FORM_TYPE = "application/x-www-form-urlencoded"


OWN = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"


FOREIGN = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' blob:; worker-src blob:; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; frame-ancestors 'none'; base-uri 'none'"
)


HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "content-security-policy": OWN,
}


MOVED = {"cache-control": "no-store"}


TYPES = {".html": "text/html; charset=utf-8", ".md": "text/plain; charset=utf-8", ".json": "application/json"}


BEARER = {"WWW-Authenticate": "Bearer"}


def nothing_here() -> ApiError:
    return ApiError(404, "There is nothing at this address.", "not_found_error")


async def read_form(request: Request) -> dict[str, str]:
    """Return a posted form's fields. Raises ApiError 400 or 413."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM_TYPE:
        raise ApiError(400, f"Send a form: {FORM_TYPE}.")
    body = await read_body(request, FORM_BYTES)
    try:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"))
    except ValueError:
        raise ApiError(400, "The form cannot be read: send UTF-8, percent-encoded.") from None


def check_site(request: Request) -> None:
    """Raise ApiError 403 for a form that another site's page has sent."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise ApiError(403, "Another site's page has sent this form: open the page here.", "permission_error")


def local_path(address: str) -> str:
    """Return the address where it is a path of this site, else the dashboard's."""
    parts = urlsplit(address)
    is_path = address.startswith("/") and not address.startswith("//") and "\\" not in address
    return address if is_path and not parts.scheme and not parts.netloc and address.isprintable() else "/"


async def in_thread(work: Callable[[], T]) -> T:
    """Return what `work` returns in a thread. Raises ApiError for what can be told."""
    try:
        return await asyncio.to_thread(work)
    except Exception as error:
        raise as_refusal(error) from None


async def read_cached(value: CachedRead[T]) -> T:
    try:
        return await value.get()
    except Exception as error:
        raise as_refusal(error) from None


def as_refusal(error: Exception) -> Exception:
    """Return the error as a refusal; what is no RatchetError stays what it is, and is nobody's to read."""
    if isinstance(error, ExternalError):
        return ApiError(503, str(error), "server_error", "store_lost", retry_after_s=30)
    if isinstance(error, DataError):
        return ApiError(400, str(error))
    return ApiError(500, str(error), "server_error") if isinstance(error, RatchetError) else error


def html_response(text: str, status: int = 200) -> Response:
    return Response(text, status, headers=HEADERS, media_type="text/html")


def file_response(name: str, content: bytes, policy: str) -> Response:
    media = TYPES.get(Path(name).suffix, "application/octet-stream")
    return Response(content, headers={**HEADERS, "content-type": media, "content-security-policy": policy})


def refusal_page(request: Request, error: ApiError, next_: str | None = None) -> Response:
    """Return a refusal as a page for browsers, a form to sign in where that helps, and as JSON for programs."""
    if "text/html" not in request.headers.get("accept", ""):
        return error_response(error)
    wants_key = error.status == 401
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    text = render_page(
        SIGN_IN,
        title="Sign in" if wants_key else "That did not work",
        notice="" if error.code == "signed_out" else error.message,
        wants_key=wants_key,
        next=local_path(next_ if next_ is not None else here if request.method == "GET" else "/"),
    )
    return Response(text, error.status, headers={**HEADERS, **error_headers(error)}, media_type="text/html")
