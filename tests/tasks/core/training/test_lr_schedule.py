import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.training.lr_schedule import MIN_FACTOR, learning_rate_factor


def test_the_first_step_already_learns_and_the_rise_ends_at_one() -> None:
    factors = [learning_rate_factor(step, total=100, warmup=0.1) for step in range(100)]
    assert factors[0] == 0.1
    assert factors[9] == 1
    assert factors[99] == pytest.approx(MIN_FACTOR)


@given(st.integers(1, 300), st.floats(0, 0.99))
def test_it_rises_once_then_falls_and_never_ends(total: int, warmup: float) -> None:
    factors = [learning_rate_factor(step, total=total, warmup=warmup) for step in range(total)]
    top = factors.index(max(factors))
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    assert all(0 < factor <= 1 for factor in factors)
    assert max(factors) == 1 or total == 1
