"""The gateway's pages for admins: dashboard, review queue, evidence, and signing in with a browser.

Who asks is either signed in (see `sessions`) or sends an admin's key as the API does. A form of a signed-in browser
counts only with the session's token. What is read is read in threads and kept for some seconds. Pages allow nothing
from elsewhere (Content-Security-Policy); a drift report, which another program wrote and which has scripts, runs in a
sandbox without this site's cookies.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tasks.core.feedback.review_queue import ReviewItem
from tasks.core.feedback.rules import FeedbackRefusedError
from tasks.serving.access.sessions import COOKIE
from tasks.serving.api.feedback_routes import refusal
from tasks.serving.api.responses import failure
from tasks.serving.api.route_group import RouteGroup
from tasks.serving.gateway.gateway import Gateway
from tasks.serving.gateway.metrics import CONTENT_TYPE
from tasks.serving.pages import dashboard_page, evidence, openapi_paths, review_page
from tasks.serving.pages.cached_read import CachedRead
from tasks.serving.pages.dashboard import BoardReader
from tasks.serving.pages.page_responses import (
    BEARER,
    FOREIGN,
    HEADERS,
    MOVED,
    OWN,
    check_site,
    file_response,
    html_response,
    in_thread,
    local_path,
    read_cached,
    read_form,
    refusal_page,
)
from tasks.serving.pages.tiles import Now
from tasks.serving.pages.visitors import Visitor, Visitors
from tasks.serving.protocol.api_error import ApiError
from tasks.serving.records.recording import Counts
from tasks.serving.records.review import Review
from tasks.settings import Settings

FRESH_S = 5.0
QUEUE_DAYS, QUEUE_LENGTH = 7, 20
DONE = {
    "accept": "Kept: the answer is accepted.",
    "correct": "Kept: your correction.",
    "reject": "Kept: nothing is learnt.",
}


Handler = Callable[[Request, Visitor], Awaitable[Response]]


@dataclass(frozen=True)
class ProcessState:
    """What the pages show of the running process."""

    counts: Callable[[], Counts | None] = lambda: None
    """Of the recorder."""
    rollout: Callable[[], str | None] = lambda: None
    """The rollout in a sentence."""


def page_routes(gateway: Gateway, settings: Settings, process_state: ProcessState) -> RouteGroup:
    """Return the pages' routes."""
    pages = Pages(gateway, settings, process_state)
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

    def __init__(self, gateway: Gateway, settings: Settings, process_state: ProcessState) -> None:
        self._gateway, self._settings, self._process_state = gateway, settings, process_state
        self._visitors = Visitors(gateway)
        self._board = CachedRead(BoardReader(settings).read, FRESH_S)
        self._queue = CachedRead(lambda: Review(settings).queue(QUEUE_DAYS, QUEUE_LENGTH), FRESH_S)
        self._labelling = asyncio.Lock()

    def for_admins(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """Return the handler behind a door: whoever is no admin is told, in the words that he can read."""

        async def handle(request: Request) -> Response:
            try:
                return await handler(request, self._visitors.visitor(request))
            except ApiError as error:
                return refusal_page(request, error)
            except ClientDisconnect:
                return Response(status_code=400)  # nobody reads it
            except Exception as error:
                return refusal_page(request, failure(f"the page {handler.__name__}", error))

        return handle

    async def dashboard(self, _: Request, visitor: Visitor) -> Response:
        board = await read_cached(self._board)
        now = Now(
            running=self._gateway.queue.running,
            waiting=self._gateway.queue.waiting,
            arms=tuple((arm.name, arm.model.digest) for arm in self._gateway.router.arms()),
            records=self._process_state.counts(),
            rollout=self._process_state.rollout(),
        )
        return html_response(
            await asyncio.to_thread(dashboard_page.render, board, now, self._visitors.form_token(visitor))
        )

    async def review(self, request: Request, visitor: Visitor) -> Response:
        if request.method == "POST":
            return await self._label(request, visitor)
        items: list[ReviewItem] = await read_cached(self._queue)
        token, notice = self._visitors.form_token(visitor), DONE.get(request.query_params.get("done", ""), "")
        text = await asyncio.to_thread(lambda: review_page.render(items, action="/review", token=token, notice=notice))
        return html_response(text)

    async def _label(self, request: Request, visitor: Visitor) -> Response:
        """Keep a label and show the queue without it."""
        form = await read_form(request)
        self._visitors.check_form(visitor, form)
        try:
            posted = review_page.read_label(form)
        except FeedbackRefusedError as error:
            raise refusal(error) from None
        async with self._labelling:
            await in_thread(lambda: evidence.keep_label(self._settings, posted, visitor.key.id))
        self._queue.forget()
        self._board.forget()
        reply = RedirectResponse(f"/review?done={posted.label}", 303, headers=MOVED)
        if visitor.session:
            self._visitors.set_cookie(request, reply, self._visitors.sessions.renewed(visitor.session))
        return reply

    async def verdict(self, request: Request, _: Visitor) -> Response:
        """Show a page that a verdict named when it was given."""
        number, name = request.path_params["number"], request.path_params["name"]
        content = await in_thread(lambda: evidence.verdict_page(self._settings, number, name))
        return file_response(name, content, OWN)

    async def drift(self, request: Request, _: Visitor) -> Response:
        """Show a file of the last monitor run."""
        name = request.path_params["name"]
        return file_response(name, await in_thread(lambda: evidence.drift_file(self._settings, name)), FOREIGN)

    async def metrics(self, _: Request, __: Visitor) -> Response:
        return Response(self._gateway.metrics.text(), headers={**HEADERS, "content-type": CONTENT_TYPE})

    async def sign_in(self, request: Request) -> Response:
        """Open a session for whoever shows an admin's key."""
        try:
            check_site(request)
            form = await read_form(request)
        except ApiError as error:
            return refusal_page(request, error)
        except ClientDisconnect:
            return Response(status_code=400)
        session = self._visitors.sessions.open(form.get("key", ""))
        if session is None:
            unknown = ApiError(
                401, "This is no key of an admin.", "authentication_error", "invalid_api_key", headers=BEARER
            )
            return refusal_page(request, unknown, next_=form.get("next", "/"))
        reply = RedirectResponse(local_path(form.get("next", "/")), 303, headers=MOVED)
        self._visitors.set_cookie(request, reply, session)
        return reply

    async def sign_out(self, request: Request, visitor: Visitor) -> Response:
        """End the session in every window."""
        self._visitors.check_form(visitor, await read_form(request))
        if visitor.session:
            self._visitors.sessions.close(visitor.session)
        reply = RedirectResponse("/", 303, headers=MOVED)
        reply.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return reply
