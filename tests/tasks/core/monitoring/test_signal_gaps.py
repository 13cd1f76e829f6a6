import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.monitoring.signal_gaps import gap


def test_unmeasured_quality_is_not_bad_quality():
    values = np.array([1.0] * 20 + [np.nan] * 30 + [1.0] * 50)
    found = gap(values, np.arange(50), 0.95)
    assert found.measured == (20, 50)
    assert found.difference == 0
    assert found.low < 0 < found.high


@given(st.integers(0, 1000), st.floats(0.2, 0.8), st.integers(10, 60))
def test_the_interval_holds_the_difference_it_is_for(seed, rate, size):
    values = (np.random.default_rng(seed).random(200) < rate).astype(float)
    found = gap(values, np.arange(size), 0.95)
    assert found.low < found.difference < found.high
    assert found.difference == pytest.approx(values[:size].mean() - values[size:].mean())


def test_the_interval_covers_an_absent_difference_about_as_often_as_it_says():
    rng, missed = np.random.default_rng(0), 0
    for _ in range(500):
        found = gap((rng.random(300) < 0.9).astype(float), np.arange(40), 0.95)
        missed += not found.low <= 0 <= found.high
    assert 5 <= missed <= 40
