import pytest

from tasks.core.release.champion_changes import cause_number, champion_news
from tasks.core.release.ledger import Entry, Kind, next_entry

AT = "2026-01-01T00:00:00+00:00"
POINTER = {
    "name": "champion",
    "model": "new",
    "previous": "old",
    "entry": "e",
    "entry_number": 7,
    "moved_at": AT,
    "by": "cron",
}


def entry(kind: Kind, **content: object) -> Entry:
    return next_entry(None, kind, key="k", at=AT, content=content)


@pytest.mark.parametrize(
    ("cause", "is_rollback", "reason"),
    [
        (entry("verdict", outcome="PROMOTE"), False, "the gate promoted it"),
        (entry("rollout", what="finished", reason="all signals held"), False, "all signals held"),
        (entry("rollback", reason="wrong prices"), True, "wrong prices"),
    ],
)
def test_a_move_is_told_by_what_caused_it(cause: Entry, is_rollback: bool, reason: str) -> None:
    moved = entry("pointer", **POINTER)
    assert cause_number(moved) == 7
    news = champion_news(moved, cause)
    assert news is not None
    assert (news.model, news.left, news.is_rollback, news.reason) == ("new", "old", is_rollback, reason)
    assert (news.by, news.at, news.entry) == ("cron", AT, 1)


def test_a_rollout_that_is_rolled_back_tells_who_goes_on_serving() -> None:
    content = {"what": "rolled_back", "candidate": "new", "champion": None, "reason": "errors", "by": "gateway g"}
    news = champion_news(entry("rollout", **content), None)
    assert news is not None
    assert (news.model, news.left, news.is_rollback) == ("base", "new", True)


@pytest.mark.parametrize(
    "other",
    [
        entry("pointer", **{**POINTER, "name": "candidate"}),
        entry("rollout", what="announced", candidate="new"),
        entry("rollout", what="finished", candidate="new"),
        entry("rollout", what="superseded", candidate="new"),
        entry("rollback", **{"from": "new", "to": "old"}),
        entry("flow", outcome="completed"),
    ],
)
def test_what_moves_nobody_or_is_told_by_its_move_is_no_news(other: Entry) -> None:
    assert cause_number(other) is None
    assert champion_news(other, None) is None
