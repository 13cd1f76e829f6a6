"""The gateway's pages for admins: dashboard, review queue, evidence, and signing in with a browser.

Who asks is either signed in (see `sessions`) or sends an admin's key as the API does. A form of a signed-in browser
counts only with the session's token. What is read is read in threads and kept for some seconds. Pages allow nothing
from elsewhere (Content-Security-Policy); a drift report, which another program wrote and which has scripts, runs in a
sandbox without this site's cookies.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tasks.adapters.html_page import render_page
from tasks.adapters.monitoring.last_drift import VERDICT, last_drift, monitor_folders
from tasks.adapters.release.registry import open_registry
from tasks.core.errors import DataError, ExternalError, RatchetError
from tasks.core.feedback.review_queue import ReviewItem
from tasks.core.feedback.rules import FeedbackRefusedError
from tasks.core.release.lineage import VerdictFacts
from tasks.serving.access.keys import Key
from tasks.serving.access.sessions import COOKIE, LIFE_S, Session, Sessions
from tasks.serving.api.feedback_routes import refusal
from tasks.serving.api.responses import error_headers, error_response, failure, read_body
from tasks.serving.api.route_group import RouteGroup
from tasks.serving.gateway.gateway import Gateway
from tasks.serving.gateway.metrics import CONTENT_TYPE
from tasks.serving.pages import dashboard_page, openapi_paths, review_page
from tasks.serving.pages.cached_read import Freshly
from tasks.serving.pages.dashboard import BoardReader
from tasks.serving.pages.review_page import PostedLabel
from tasks.serving.protocol.api_error import ApiError
from tasks.serving.records.recording import Counts
from tasks.serving.records.review import Review
from tasks.settings import Settings

T = TypeVar("T")
SIGN_IN = Path(__file__).with_name("sign_in.html.j2")
FRESH_S = 5.0
QUEUE_DAYS, QUEUE_LENGTH = 7, 20
FORM_BYTES = 65_536
MOST_FIELDS = 20
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
DONE = {
    "accept": "Kept: the answer is accepted.",
    "correct": "Kept: your correction.",
    "reject": "Kept: nothing is learnt.",
}
TYPES = {".html": "text/html; charset=utf-8", ".md": "text/plain; charset=utf-8", ".json": "application/json"}


@dataclass(frozen=True)
class Visitor:
    """Who looks at a page; `session`: with a browser."""

    key: Key
    session: Session | None


Handler = Callable[[Request, Visitor], Awaitable[Response]]


@dataclass(frozen=True)
class Watched:
    """What the pages show of the running process."""

    counts: Callable[[], Counts | None] = lambda: None
    """Of the recorder."""
    rollout: Callable[[], str | None] = lambda: None
    """The rollout in a sentence."""


def page_routes(gateway: Gateway, settings: Settings, watched: Watched) -> RouteGroup:
    """Return the pages' routes."""
    pages = Pages(gateway, settings, watched)
    return RouteGroup(
        routes=[
            Route("/", pages.for_admins(pages.dashboard)),
            Route("/review", pages.for_admins(pages.review), methods=["GET", "POST"]),
            Route("/evidence/verdicts/{number}/{name}", pages.for_admins(pages.verdict)),
            Route("/evidence/drift/{name}", pages.for_admins(pages.drift)),
            Route("/evidence/metrics", pages.for_admins(pages.metrics)),
            Route("/sign-in", pages.sign_in, methods=["POST"]),
            Route("/sign-out", pages.for_admins(pages.sign_out), methods=["POST"]),
        ],
        paths=openapi_paths.paths(),
    )


class Pages:
    """One method a page."""

    def __init__(self, gateway: Gateway, settings: Settings, watched: Watched) -> None:
        self._gateway, self._settings, self._watched = gateway, settings, watched
        self._sessions = Sessions(gateway.keys)
        self._board = Freshly(BoardReader(settings).read, FRESH_S)
        self._queue = Freshly(lambda: Review(settings).queue(QUEUE_DAYS, QUEUE_LENGTH), FRESH_S)
        self._labelling = asyncio.Lock()

    def for_admins(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """Return the handler behind a door: whoever is no admin is told, in the words that he can read."""

        async def handle(request: Request) -> Response:
            try:
                return await handler(request, self._visitor(request))
            except ApiError as error:
                return _refused(request, error)
            except ClientDisconnect:
                return Response(status_code=400)  # nobody reads it
            except Exception as error:
                return _refused(request, failure(f"the page {handler.__name__}", error))

        return handle

    async def dashboard(self, _: Request, visitor: Visitor) -> Response:
        board = await _read(self._board)
        now = dashboard_page.Now(
            running=self._gateway.queue.running,
            waiting=self._gateway.queue.waiting,
            arms=tuple((arm.name, arm.model.digest) for arm in self._gateway.router.arms()),
            records=self._watched.counts(),
            rollout=self._watched.rollout(),
        )
        return _html(await asyncio.to_thread(dashboard_page.render, board, now, self._token(visitor)))

    async def review(self, request: Request, visitor: Visitor) -> Response:
        if request.method == "POST":
            return await self._label(request, visitor)
        items: list[ReviewItem] = await _read(self._queue)
        token, notice = self._token(visitor), DONE.get(request.query_params.get("done", ""), "")
        text = await asyncio.to_thread(lambda: review_page.render(items, action="/review", token=token, notice=notice))
        return _html(text)

    async def _label(self, request: Request, visitor: Visitor) -> Response:
        """Keep a label and show the queue without it."""
        form = await _form(request)
        self._check_form(visitor, form)
        try:
            posted = review_page.read_label(form)
        except FeedbackRefusedError as error:
            raise refusal(error) from None
        async with self._labelling:
            await _in_thread(lambda: self._keep(posted, visitor.key.id))
        self._queue.forget()
        self._board.forget()
        reply = RedirectResponse(f"/review?done={posted.label}", 303, headers=MOVED)
        if visitor.session:
            self._set_cookie(request, reply, self._sessions.renewed(visitor.session))
        return reply

    async def verdict(self, request: Request, _: Visitor) -> Response:
        """Show a page that a verdict named when it was given."""
        number, name = request.path_params["number"], request.path_params["name"]
        content = await _in_thread(lambda: self._verdict_page(number, name))
        return _file(name, content, OWN)

    async def drift(self, request: Request, _: Visitor) -> Response:
        """Show a file of the last monitor run."""
        name = request.path_params["name"]
        return _file(name, await _in_thread(lambda: self._drift_file(name)), FOREIGN)

    async def metrics(self, _: Request, __: Visitor) -> Response:
        return Response(self._gateway.metrics.text(), headers={**HEADERS, "content-type": CONTENT_TYPE})

    async def sign_in(self, request: Request) -> Response:
        """Open a session for whoever shows an admin's key."""
        try:
            _check_site(request)
            form = await _form(request)
        except ApiError as error:
            return _refused(request, error)
        except ClientDisconnect:
            return Response(status_code=400)
        session = self._sessions.open(form.get("key", ""))
        if session is None:
            unknown = ApiError(
                401, "This is no key of an admin.", "authentication_error", "invalid_api_key", headers=_BEARER
            )
            return _refused(request, unknown, next_=form.get("next", "/"))
        reply = RedirectResponse(_local(form.get("next", "/")), 303, headers=MOVED)
        self._set_cookie(request, reply, session)
        return reply

    async def sign_out(self, request: Request, visitor: Visitor) -> Response:
        """End the session in every window."""
        self._check_form(visitor, await _form(request))
        if visitor.session:
            self._sessions.close(visitor.session)
        reply = RedirectResponse("/", 303, headers=MOVED)
        reply.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return reply

    def _visitor(self, request: Request) -> Visitor:
        """Return who asks. Raises ApiError 401 or 403."""
        header = request.headers.get("authorization")
        if header is not None:
            return Visitor(self._gateway.authenticate(header, needs_admin=True), None)
        session = self._sessions.read(request.cookies.get(COOKIE, ""))
        if session is None:
            raise ApiError(401, "Sign in to see this.", "authentication_error", "signed_out", headers=_BEARER)
        return Visitor(session.key, session)

    def _token(self, visitor: Visitor) -> str:
        return self._sessions.form_token(visitor.session) if visitor.session else ""

    def _check_form(self, visitor: Visitor, form: Mapping[str, str]) -> None:
        """Raise ApiError 403 for a browser's form that is not of this session's pages."""
        if visitor.session and not self._sessions.is_own_form(visitor.session, form.get("token", "")):
            raise ApiError(
                403,
                "This form is not of your session: open the page again and repeat.",
                "permission_error",
                "foreign_form",
            )

    def _set_cookie(self, request: Request, reply: Response, session: Session) -> None:
        reply.set_cookie(
            COOKIE,
            self._sessions.cookie(session),
            max_age=LIFE_S,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )

    def _keep(self, posted: PostedLabel, reviewer: str) -> None:
        review = Review(self._settings)
        try:
            item = review.item(posted.answer_id)
        except DataError:
            raise ApiError(
                404, "There is no shown answer of the last week with this id.", "not_found_error", "answer_not_found"
            ) from None
        review.keep(item, posted.label, correction=posted.text, reason=posted.reason, reviewer=reviewer)

    def _verdict_page(self, number: str, name: str) -> bytes:
        registry = open_registry(self._settings)
        newest = registry.ledger.newest()
        if not number.isdecimal() or len(number) > 9 or newest is None or not 0 < int(number) <= newest.number:
            raise _nothing()
        facts = registry.ledger.read(int(number)).facts
        if not isinstance(facts, VerdictFacts) or name not in facts.pages:
            raise _nothing()
        with tempfile.TemporaryDirectory(prefix="ratchet-evidence-") as folder:
            path = Path(folder) / "page"
            registry.get_blob(facts.pages[name], path)
            return path.read_bytes()

    def _drift_file(self, name: str) -> bytes:
        drift = last_drift(monitor_folders(self._settings.home, self._settings.data))
        if drift is None or name not in (*drift.pages, VERDICT):
            raise _nothing()
        return (drift.folder / name).read_bytes()


_BEARER = {"WWW-Authenticate": "Bearer"}


def _nothing() -> ApiError:
    return ApiError(404, "There is nothing at this address.", "not_found_error")


async def _form(request: Request) -> dict[str, str]:
    """Return a posted form's fields. Raises ApiError 400 or 413."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM_TYPE:
        raise ApiError(400, f"Send a form: {FORM_TYPE}.")
    body = await read_body(request, FORM_BYTES)
    try:
        return dict(
            parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
        )
    except ValueError:
        raise ApiError(400, "The form cannot be read: send UTF-8, percent-encoded.") from None


def _check_site(request: Request) -> None:
    """Raise ApiError 403 for a form that another site's page has sent."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise ApiError(403, "Another site's page has sent this form: open the page here.", "permission_error")


def _local(address: str) -> str:
    """Return the address where it is a path of this site, else the dashboard's."""
    parts = urlsplit(address)
    is_path = address.startswith("/") and not address.startswith("//") and "\\" not in address
    return address if is_path and not parts.scheme and not parts.netloc and address.isprintable() else "/"


async def _in_thread(work: Callable[[], T]) -> T:
    """Return what `work` returns in a thread. Raises ApiError for what can be told."""
    try:
        return await asyncio.to_thread(work)
    except Exception as error:
        raise _told(error) from None


async def _read(value: Freshly[T]) -> T:
    try:
        return await value.get()
    except Exception as error:
        raise _told(error) from None


def _told(error: Exception) -> Exception:
    """Return the error as a refusal; what is no RatchetError stays what it is, and is nobody's to read."""
    if isinstance(error, ExternalError):
        return ApiError(503, str(error), "server_error", "store_lost", retry_after_s=30)
    if isinstance(error, DataError):
        return ApiError(400, str(error))
    return ApiError(500, str(error), "server_error") if isinstance(error, RatchetError) else error


def _html(text: str, status: int = 200) -> Response:
    return Response(text, status, headers=HEADERS, media_type="text/html")


def _file(name: str, content: bytes, policy: str) -> Response:
    media = TYPES.get(Path(name).suffix, "application/octet-stream")
    return Response(content, headers={**HEADERS, "content-type": media, "content-security-policy": policy})


def _refused(request: Request, error: ApiError, next_: str | None = None) -> Response:
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
        next=_local(next_ if next_ is not None else here if request.method == "GET" else "/"),
    )
    return Response(text, error.status, headers={**HEADERS, **error_headers(error)}, media_type="text/html")
