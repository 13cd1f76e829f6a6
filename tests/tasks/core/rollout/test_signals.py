from typing import Any

import pytest

from tasks.core.feedback.rules import Opinion, feedback_on
from tasks.core.rollout.signals import opinions_of, signals_of, with_opinion
from tests.tasks.answers import answer

GOOD: dict[str, Any] = {"abstained": False, "ungrounded": [], "seconds": 1.0}


def found(**changes: Any) -> Any:
    return signals_of(answer(**{**GOOD, **changes}), 10.0)


def test_an_answer_that_is_whole_grounded_and_in_time_is_good() -> None:
    assert found() == {
        "quality": 1.0, "errors": 0.0, "slow": 0.0, "abstained": 0.0, "ungrounded": 0.0, "negative_feedback": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "quality", "more"),
    [
        ({"abstained": True}, 0.0, {"abstained": 1.0}),
        ({"ungrounded": ["foo_bar"]}, 0.0, {"ungrounded": 1.0}),
        ({"ungrounded": None}, None, {"ungrounded": None}),
        ({"finish_reason": "length"}, 0.0, {}),
        ({"seconds": 11.0}, 1.0, {"slow": 1.0}),
        ({"seconds": None}, 1.0, {"slow": None}),
        ({"status": "error", "abstained": None}, 0.0, {"errors": 1.0, "slow": None, "abstained": None}),
        ({"status": "timeout", "seconds": 11.0}, 0.0, {"errors": 1.0, "slow": 1.0, "ungrounded": None}),
    ],
)
def test_what_is_wrong_with_an_answer_shows_and_what_was_not_measured_is_none(
    changes: dict[str, Any], quality: float | None, more: dict[str, float | None]
) -> None:
    signals = found(**changes)
    assert signals["quality"] == quality
    assert {name: signals[name] for name in more} == more


def test_a_client_that_goes_away_says_nothing_unless_it_had_to_wait_long() -> None:
    assert found(status="cancelled") is None
    assert found(status="cancelled", seconds=12.0) == {"slow": 1.0}


def test_what_people_say_overrides_the_quality() -> None:
    assert with_opinion(found(), 0.0)["quality"] == 0.0
    assert with_opinion(found(abstained=True), 1.0) == {**found(abstained=True), "quality": 1.0, "negative_feedback": 0}
    assert with_opinion(found(), None) == found()


def test_a_thumb_or_a_correction_is_an_opinion_and_a_bare_reason_is_none() -> None:
    from datetime import UTC, datetime

    said = [
        Opinion(answer_id="a1", thumb="up"),
        Opinion(answer_id="a2", thumb="down"),
        Opinion(answer_id="a3", correction="Two days."),
        Opinion(answer_id="a4", reason="hm"),
    ]
    now = datetime.now(UTC)
    feedback = [feedback_on(answer(opinion.answer_id), opinion, now) for opinion in said]
    assert opinions_of(feedback) == {"a1": 1.0, "a2": 0.0, "a3": 0.0}
