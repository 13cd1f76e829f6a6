import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tasks.core.statistics import bootstrap
from tasks.core.statistics.bootstrap import Draws, detectable, effective_clusters, expanded_tail, interval

DRAWS = Draws(2000, 0)


def test_independent_items_give_the_interval_of_the_t_test():
    values = np.random.default_rng(0).normal(0.1, 0.3, 400)
    found = interval(values, np.arange(400), 0.95, Draws(20_000, 1))
    low, high = stats.t.interval(0.95, 399, values.mean(), stats.sem(values))
    assert found.mean == pytest.approx(values.mean())
    assert found.error == pytest.approx(stats.sem(values), rel=0.03)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.002)


def test_items_that_repeat_their_cluster_add_no_evidence():
    values, clusters = np.random.default_rng(0).normal(0, 1, 50), np.arange(50)
    once = interval(values, clusters, 0.95, DRAWS)
    five_times = interval(np.repeat(values, 5), np.repeat(clusters, 5), 0.95, DRAWS)
    assert (five_times.low, five_times.high) == pytest.approx((once.low, once.high))


def test_no_difference_anywhere_is_exactly_zero():
    found = interval(np.zeros(100), np.arange(100) // 2, 0.95, DRAWS)
    assert (found.mean, found.error, found.low, found.high) == (0.0, 0.0, 0.0, 0.0)


def test_the_size_of_a_block_does_not_change_the_interval(monkeypatch):
    values, clusters = np.random.default_rng(0).normal(0, 1, 120), np.arange(120) // 2
    whole = interval(values, clusters, 0.95, DRAWS)
    monkeypatch.setattr(bootstrap, "BLOCK_VALUES", 6_000)
    in_blocks = interval(values, clusters, 0.95, DRAWS)
    assert (in_blocks.low, in_blocks.high) == pytest.approx((whole.low, whole.high), abs=1e-12)


@given(st.lists(st.floats(-1, 1), min_size=4, max_size=40), st.data())
def test_lowering_one_difference_raises_neither_bound(differences, data):
    clusters = np.arange(len(differences)) // 2
    before = interval(np.array(differences), clusters, 0.95, Draws(200, 3))
    place = data.draw(st.integers(0, len(differences) - 1))
    differences[place] = data.draw(st.floats(-1, differences[place]))
    after = interval(np.array(differences), clusters, 0.95, Draws(200, 3))
    assert after.low <= before.low + 1e-12
    assert after.high <= before.high + 1e-12


def test_few_or_uneven_clusters_widen_the_interval():
    assert expanded_tail(0.025, 10_000) == pytest.approx(0.025, rel=0.01)
    assert expanded_tail(0.025, 10) < expanded_tail(0.025, 30) < 0.025
    assert expanded_tail(0.025, 1) == 0
    assert effective_clusters(np.full(20, 3.0)) == pytest.approx(20)
    assert effective_clusters(np.array([10.0, 1, 1, 1])) < 1.1


def test_a_gain_of_the_detectable_size_is_found_as_often_as_promised():
    rng = np.random.default_rng(0)
    error = 0.3 / np.sqrt(200)
    gain = detectable(error, 0.95, 0.8)
    found = [rng.normal(gain, 0.3, 200).mean() - 1.96 * error > 0 for _ in range(2000)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.03)
