"""Sessions of the pages: forged, old, closed and other people's cookies are nobody's."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.serving.access.keys import KeyRing
from tasks.serving.access.sessions import LIFE_S, Session, Sessions


class Desk:
    """Sessions with a clock that is set by hand."""

    def __init__(self, folder: Path) -> None:
        self.now = 1000.0
        self.keys = KeyRing(folder / "keys.json")
        self.admin = self.keys.create("boss", "admin", at="")
        self.user = self.keys.create("someone", "user", at="")
        self.sessions = Sessions(self.keys, lambda: self.now)

    def open(self) -> Session:
        session = self.sessions.open(self.admin)
        assert session is not None
        return session


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_an_admins_key_opens_a_session_that_its_cookie_proves(desk: Desk) -> None:
    session = desk.open()
    assert desk.sessions.read(desk.sessions.cookie(session)) == session
    assert desk.admin.split("-", 2)[2] not in desk.sessions.cookie(session)


def test_nobody_elses_key_opens_one(desk: Desk) -> None:
    for token in (desk.user, "", "rk-000000000000-wrong", desk.admin[:-1]):
        assert desk.sessions.open(token) is None


def test_a_session_ends_with_its_life_unless_it_is_renewed(desk: Desk) -> None:
    session = desk.open()
    desk.now += LIFE_S - 1
    renewed = desk.sessions.renewed(session)
    assert desk.sessions.read(desk.sessions.cookie(session)) is not None
    desk.now += 1
    assert desk.sessions.read(desk.sessions.cookie(session)) is None
    assert desk.sessions.read(desk.sessions.cookie(renewed)) == renewed
    assert desk.sessions.form_token(renewed) == desk.sessions.form_token(session)


def test_a_closed_session_is_over_and_others_go_on(desk: Desk) -> None:
    session, other = desk.open(), desk.open()
    desk.sessions.close(session)
    assert desk.sessions.read(desk.sessions.cookie(session)) is None
    assert desk.sessions.read(desk.sessions.cookie(desk.sessions.renewed(session))) is None
    assert desk.sessions.read(desk.sessions.cookie(other)) == other


def test_a_revoked_key_ends_its_sessions(desk: Desk) -> None:
    cookie = desk.sessions.cookie(desk.open())
    desk.keys.revoke(desk.admin.split("-")[1])
    assert desk.sessions.read(cookie) is None


def test_a_cookie_of_another_process_proves_nothing(desk: Desk) -> None:
    session = desk.open()
    assert Sessions(desk.keys, lambda: desk.now).read(desk.sessions.cookie(session)) is None


def test_a_cookie_that_was_changed_anywhere_proves_nothing(desk: Desk) -> None:
    cookie = desk.sessions.cookie(desk.open())
    for at in range(len(cookie)):
        changed = cookie[:at] + ("0" if cookie[at] != "0" else "1") + cookie[at + 1 :]
        assert desk.sessions.read(changed) is None


@given(st.text(max_size=80))
def test_no_text_is_a_cookie_or_a_forms_token(text: str) -> None:
    sessions = Sessions(KeyRing(Path("nowhere.json")))
    assert sessions.read(text) is None


def test_a_forms_token_is_its_own_sessions_alone(desk: Desk) -> None:
    session, other = desk.open(), desk.open()
    assert desk.sessions.is_own_form(session, desk.sessions.form_token(session))
    for token in ("", "ü", desk.sessions.form_token(other), desk.sessions.cookie(session)):
        assert not desk.sessions.is_own_form(session, token)
