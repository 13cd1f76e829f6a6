"""The board in words: nothing unmeasured has a figure, and colour follows what was declared before."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tasks.core.monitoring.serving_stats import Durations, Figures
from tasks.serving.pages.dashboard import Board, History, Opinions
from tasks.serving.pages.tiles import Now, Tile, tiles
from tasks.serving.records.recording import Counts

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
NOTHING = Now(0, 0, (("champion", "a" * 64),), None, None)


def board(*hours: Figures, **changes: Any) -> Board:
    by_hour = tuple((AT + timedelta(hours=n), figures) for n, figures in enumerate(hours))
    values: dict[str, Any] = {
        "at": AT, "hours": by_hour, "opinions": Opinions(0, 0, 0, 0), "history": History(None, None, (), None),
        "drift": None, "notes": (),
    }  # fmt: skip
    return Board(**{**values, **changes})


def named(made: Board, now: Now = NOTHING) -> dict[str, Tile]:
    return {tile.title: tile for tile in tiles(made, now)}


def test_hours_without_an_answer_have_no_figure_but_their_number() -> None:
    found = named(board(Figures(), Figures()))
    assert {title for title, tile in found.items() if not tile.is_measured} == {
        "Answer quality", "Drift", "Hallucination screen", "Latency", "Cost", "Records",
    }  # fmt: skip
    assert found["Answers"].value == "0"
    assert all(tile.chart is None for title, tile in found.items() if not tile.is_measured)


def test_what_cannot_be_read_is_not_what_has_not_happened() -> None:
    found = named(board(hours=None, history=None, notes=("Drift cannot be read: disk.",)))
    for title in ("Answer quality", "Drift", "Hallucination screen", "Latency", "Cost", "Answers"):
        assert found[title].value == "cannot be read"


def test_an_engine_that_tells_no_cost_has_none() -> None:
    found = named(board(Figures(answers=3, tokens=60)))["Cost"]
    assert found.value == "not measured yet"
    assert "60 tokens" in found.words[0]


def test_failures_are_red_only_beyond_what_a_rollout_accepts() -> None:
    assert named(board(Figures(answers=98, failed=2)))["Answers"].state == ""
    assert named(board(Figures(answers=97, failed=3)))["Answers"].state == "bad"


def test_lost_records_are_red_and_counted() -> None:
    found = named(board(), Now(0, 0, NOTHING.arms, Counts(recorded=5, dropped=2, failed=1, pending=4), None))["Records"]
    assert (found.value, found.state) == ("5", "bad")
    assert "4 are being written, 3 were lost" in found.words[0]


def test_two_arms_are_drawn_as_shares_of_the_answers_that_they_gave() -> None:
    served = Figures(answers=40, by_arm=((f"candidate {'b' * 64}", 10), (f"champion {'a' * 64}", 30), ("old x", 7)))
    arms = (("champion", "a" * 64), ("candidate", "b" * 64))
    found = named(board(served), Now(0, 0, arms, None, "canary, at 10 % of the askers"))["Rollout"]
    assert found.words[0] == "canary, at 10 % of the askers"
    assert "Candidate bbbbbbbbbbbb: 10 of 40 answers in 24 hours." in found.words
    assert found.chart is not None


def test_a_quantile_is_shown_in_a_unit_that_people_read() -> None:
    quick, slow = Durations(((100, 9),)), Durations(((200, 9),))
    assert named(board(Figures(answers=9, seconds=quick)))["Latency"].value == "135 ms"
    assert named(board(Figures(answers=9, seconds=slow)))["Latency"].value == "17.7 s"
