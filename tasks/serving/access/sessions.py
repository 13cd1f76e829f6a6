"""Sign-in sessions of a browser: a short-lived signed cookie, and a CSRF token in every form.

A cookie holds a key's id, a random mark, the end of its life and an HMAC-SHA256 of these; the signing key lives in this
process alone, so a restart signs everybody out, and a revoked key ends its sessions at the next request. The forms'
token follows from the mark (a signed double-submit token, OWASP's CSRF cheat sheet); browsers send the cookie only to
pages of this site (SameSite=Strict). Caveat: several gateways behind one address need sticky sessions.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from tasks.serving.access.keys import Key, KeyRing

COOKIE = "ratchet_session"
LIFE_S = 3600
MARK_BYTES = 16


@dataclass(frozen=True)
class Session:
    """A person who has shown an admin key."""

    key: Key
    mark: str
    ends_at: int


class Sessions:
    """Opens and checks sessions; a closed one is remembered until its life would be over."""

    def __init__(self, keys: KeyRing, clock: Callable[[], float] = time.time) -> None:
        self._keys, self._clock = keys, clock
        self._secret = secrets.token_bytes(32)
        self._closed: dict[str, int] = {}

    def open(self, token: str) -> Session | None:
        """Return a session for the text of an admin's key, or None."""
        key = self._keys.find(token.strip())
        if key is None or key.role != "admin":
            return None
        return Session(key, secrets.token_hex(MARK_BYTES), int(self._clock()) + LIFE_S)

    def renewed(self, session: Session) -> Session:
        """Return the session with its full life again; its forms stay valid."""
        return Session(session.key, session.mark, int(self._clock()) + LIFE_S)

    def cookie(self, session: Session) -> str:
        """Return the cookie's value."""
        said = f"{session.key.id}.{session.mark}.{session.ends_at}"
        return f"{said}.{self._sign('session', said)}"

    def read(self, cookie: str) -> Session | None:
        """Return the session that a cookie proves, or None."""
        said, _, signature = cookie.rpartition(".")
        if not _is_same(signature, self._sign("session", said)):
            return None
        key_id, mark, ends = said.split(".")
        key = next((key for key in self._keys.all() if key.id == key_id), None)
        if key is None or key.role != "admin" or int(ends) <= self._clock() or mark in self._closed:
            return None
        return Session(key, mark, int(ends))

    def close(self, session: Session) -> None:
        """End the session, whichever browser holds its cookie."""
        now = self._clock()
        self._closed = {mark: ends for mark, ends in self._closed.items() if ends > now}
        self._closed[session.mark] = int(now) + LIFE_S

    def form_token(self, session: Session) -> str:
        """Return what this session's forms carry."""
        return self._sign("form", session.mark)

    def is_own_form(self, session: Session, token: str) -> bool:
        """Return whether a form's token is this session's."""
        return _is_same(token, self.form_token(session))

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._secret, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()


def _is_same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())
