import pytest

from tasks.core.release.champion_changes import cause_number, champion_change
from tasks.core.release.ledger import Entry, next_entry
from tasks.core.release.ledger_entries import Content
from tests.tasks.ledger_facts import flow_run, pointer, rollback, rollout_step, verdict_facts

AT = "2026-01-01T00:00:00+00:00"


def entry(facts: Content) -> Entry:
    return next_entry(None, facts, key="k", at=AT)


@pytest.mark.parametrize(
    ("cause", "is_rollback", "reason"),
    [
        (entry(verdict_facts()), False, "the gate promoted it"),
        (entry(rollout_step("finished", reason="all signals held")), False, "all signals held"),
        (entry(rollback(reason="wrong prices")), True, "wrong prices"),
    ],
)
def test_a_move_is_told_by_what_caused_it(cause: Entry, is_rollback: bool, reason: str) -> None:
    moved = entry(pointer())
    assert cause_number(moved) == 7
    change = champion_change(moved, cause)
    assert change is not None
    assert (change.model, change.left, change.is_rollback, change.reason) == ("new", "old", is_rollback, reason)
    assert (change.by, change.at, change.entry) == ("cron", AT, 1)


def test_a_rollout_that_is_rolled_back_tells_who_goes_on_serving() -> None:
    change = champion_change(entry(rollout_step("rolled_back", champion=None, reason="errors")), None)
    assert change is not None
    assert (change.model, change.left, change.is_rollback) == ("base", "new", True)


@pytest.mark.parametrize(
    "other",
    [
        entry(pointer(name="candidate")),
        entry(rollout_step("announced")),
        entry(rollout_step("finished")),
        entry(rollout_step("superseded")),
        entry(rollback()),
        entry(flow_run()),
    ],
)
def test_what_moves_nobody_or_is_told_by_its_move_is_no_news(other: Entry) -> None:
    assert cause_number(other) is None
    assert champion_change(other, None) is None
