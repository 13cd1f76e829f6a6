"""Who looks at a page: a signed-in browser, or a program with an admin's key; and which forms count as theirs."""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from tasks.serving.access.keys import Key
from tasks.serving.access.sessions import COOKIE, LIFE_S, Session, Sessions
from tasks.serving.gateway.gateway import Gateway
from tasks.serving.pages.page_responses import BEARER
from tasks.serving.protocol.api_error import ApiError


@dataclass(frozen=True)
class Visitor:
    """Who looks at a page; `session`: with a browser."""

    key: Key
    session: Session | None


class Visitors:
    """Tells who asks, and opens and renews sessions."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.sessions = Sessions(gateway.keys)

    def visitor(self, request: Request) -> Visitor:
        """Return who asks. Raises ApiError 401 or 403."""
        header = request.headers.get("authorization")
        if header is not None:
            return Visitor(self._gateway.authenticate(header, needs_admin=True), None)
        session = self.sessions.read(request.cookies.get(COOKIE, ""))
        if session is None:
            raise ApiError(401, "Sign in to see this.", "authentication_error", "signed_out", headers=BEARER)
        return Visitor(session.key, session)

    def form_token(self, visitor: Visitor) -> str:
        """Return what a form of this visitor's pages must send back; "" for a program."""
        return self.sessions.form_token(visitor.session) if visitor.session else ""

    def check_form(self, visitor: Visitor, form: Mapping[str, str]) -> None:
        """Raise ApiError 403 for a browser's form that is not of this session's pages."""
        if visitor.session and not self.sessions.is_own_form(visitor.session, form.get("token", "")):
            raise ApiError(
                403,
                "This form is not of your session: open the page again and repeat.",
                "permission_error",
                "foreign_form",
            )

    def set_cookie(self, request: Request, reply: Response, session: Session) -> None:
        """Let the browser keep the session."""
        reply.set_cookie(
            COOKIE,
            self.sessions.cookie(session),
            max_age=LIFE_S,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
