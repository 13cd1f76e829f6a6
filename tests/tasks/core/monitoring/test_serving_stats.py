"""Counts of served answers: they add up, and unmeasured values are in no share."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.adapters.records.record_table import frame_of_answers
from tasks.core.monitoring.serving_stats import COLUMNS, Figures, durations, figures_of, total
from tests.tasks.answers import answer


def figures(*changes: dict[str, Any]) -> Figures:
    return figures_of(frame_of_answers(answer(f"a{n}", **change) for n, change in enumerate(changes)).select(COLUMNS))


def test_no_answers_have_no_shares_and_no_quantiles() -> None:
    none = figures()
    assert none == Figures()
    assert none.ungrounded_share is none.abstained_share is none.failed_share is none.cpu_s_each is None
    assert none.seconds.quantile(0.5) is None


def test_only_what_was_screened_counts_as_grounded_or_not() -> None:
    some = figures({"ungrounded": []}, {"ungrounded": ["x", "y"]}, {"ungrounded": None}, {"ungrounded": ["x"]})
    assert (some.answers, some.screened, some.ungrounded) == (4, 3, 2)
    assert some.ungrounded_share == pytest.approx(2 / 3)
    assert some.abstained_share is None
    assert figures({"abstained": False}, {"abstained": True}, {"abstained": None}).abstained_share == 0.5


def test_failures_are_no_answers_and_a_client_that_left_is_no_failure() -> None:
    some = figures({}, {"status": "error"}, {"status": "timeout"}, {"status": "cancelled"}, {})
    assert (some.answers, some.failed, some.cancelled) == (2, 2, 1)
    assert some.failed_share == 0.5


def test_an_unseen_answer_of_a_shadow_is_left_out() -> None:
    some = figures({"arm": "shadow", "shadow_of": "a0", "ungrounded": ["x"]}, {"ungrounded": []})
    assert (some.answers, some.ungrounded_share) == (1, 0.0)
    assert some.by_arm == ((f"champion {'m' * 64}", 1),)


def test_cost_is_that_of_answers_whose_cost_is_known() -> None:
    some = figures({"cpu_s": 2.0, "completion_tokens": 10}, {"cpu_s": None}, {"cpu_s": 4.0, "cached": True})
    assert (some.cpu_s_each, some.tokens, some.cached) == (2.0, 10, 1)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0.002, 2000), min_size=1, max_size=200),
    st.sampled_from([0.5, 0.95, 0.99]),
)
def test_a_quantile_is_right_to_five_percent(values: list[float], share: float) -> None:
    exact = float(np.quantile(values, share, method="inverted_cdf"))
    assert durations(pl.Series(values)).quantile(share) == pytest.approx(exact, rel=0.05)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["ok", "error", "cancelled"]), max_size=12), st.integers(0, 12))
def test_parts_add_up_to_the_whole(states: list[str], cut: int) -> None:
    changes = [
        {"status": state, "seconds": 0.1 * (n + 1), "ungrounded": ["x"] * (n % 2), "cpu_s": 0.5, "arm": f"arm{n % 2}"}
        for n, state in enumerate(states)
    ]
    assert total([figures(*changes[:cut]), figures(*changes[cut:])]) == figures(*changes)


def test_durations_that_were_not_measured_do_not_count() -> None:
    found = durations(pl.Series([None, float("nan"), 0.0, 1e9], dtype=pl.Float64))
    assert found.total == 2
