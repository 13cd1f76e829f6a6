from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.serving.access.keys import Key
from tasks.serving.access.usage_limits import Budgets
from tasks.serving.protocol.api_error import ApiError

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Times:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.passed = 0.0

    def clock(self) -> float:
        return self.passed

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.passed)


def key(**limits: int) -> Key:
    return Key(id="k", name="someone", role="user", sha256="", created_at="", **limits)


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture
def budgets(tmp_path: Path, times: Times) -> Budgets:
    return Budgets(tmp_path / "usage.json", times.clock, times.now)


def test_requests_are_admitted_evenly_over_the_minute(budgets: Budgets, times: Times) -> None:
    for _ in range(6):
        budgets.admit(key(requests_per_minute=6))
    with pytest.raises(ApiError) as caught:
        budgets.admit(key(requests_per_minute=6))
    assert (caught.value.status, caught.value.code, caught.value.retry_after_s) == (429, "rate_limit_exceeded", 10)
    times.passed = 10.0
    budgets.admit(key(requests_per_minute=6))
    with pytest.raises(ApiError):
        budgets.admit(key(requests_per_minute=6))
    times.passed = 10_000.0
    for _ in range(6):
        budgets.admit(key(requests_per_minute=6))


def test_a_days_tokens_are_new_at_midnight_and_survive_a_restart(
    budgets: Budgets, times: Times, tmp_path: Path
) -> None:
    limited = key(tokens_per_day=100)
    budgets.admit(limited)
    budgets.spend(limited, 100)
    budgets.save()
    again = Budgets(tmp_path / "usage.json", times.clock, times.now)
    for one in (budgets, again):
        with pytest.raises(ApiError) as caught:
            one.admit(limited)
        assert caught.value.type == "insufficient_quota"
        assert caught.value.retry_after_s == 12 * 3600
    times.passed = 12 * 3600.0
    again.admit(limited)
    assert again.tokens_today("k") == 0


def test_a_key_without_limits_is_counted_and_never_refused(budgets: Budgets) -> None:
    for _ in range(1000):
        budgets.admit(key())
    budgets.spend(key(), 7)
    assert budgets.tokens_today("k") == 7


def test_a_damaged_file_of_use_is_a_day_without_any(tmp_path: Path, times: Times) -> None:
    (tmp_path / "usage.json").write_text("[")
    assert Budgets(tmp_path / "usage.json", times.clock, times.now).tokens_today("k") == 0
