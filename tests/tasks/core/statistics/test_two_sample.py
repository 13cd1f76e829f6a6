import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tasks.core.statistics.two_sample import categories, holm, numbers

COUNTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 300), min_size=1).filter(lambda c: sum(c.values()))


def test_the_same_numbers_do_not_differ():
    values = np.random.default_rng(0).normal(size=300)
    found = numbers(values, values)
    assert (found.effect, found.p) == (0.0, 1.0)


def test_the_effect_of_numbers_is_the_share_that_moved():
    found = numbers(np.zeros(1000), np.repeat([0.0, 1.0], [700, 300]))
    assert found.effect == pytest.approx(0.3)
    assert found.p < 1e-9


@given(st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=60), st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=60))
def test_exchanging_the_samples_changes_nothing(one, other):
    forth, back = (numbers(np.array(a), np.array(b)) for a, b in ((one, other), (other, one)))
    assert forth.effect == pytest.approx(back.effect)
    assert 0 <= forth.p <= 1


@given(COUNTS, COUNTS)
def test_a_difference_of_categories_is_symmetric_and_lies_between_0_and_1(one, other):
    forth, back = categories(one, other), categories(other, one)
    assert forth.effect == pytest.approx(back.effect)
    assert forth.p == pytest.approx(back.p)
    assert -1e-12 <= forth.effect <= 1 + 1e-12
    assert 0 <= forth.p <= 1


@given(COUNTS, st.integers(2, 5))
def test_categories_in_the_same_proportions_have_no_effect(counts, times):
    found = categories(counts, {name: times * count for name, count in counts.items()})
    assert found.effect == pytest.approx(0, abs=1e-12)
    assert found.p > 0.99


def test_two_categories_are_tested_exactly():
    found = categories({"yes": 1, "no": 24}, {"yes": 8, "no": 17})
    assert found.p == pytest.approx(stats.fisher_exact([[1, 24], [8, 17]])[1])


def test_a_category_that_is_new_is_seen():
    found = categories({"en": 500, "de": 400, "fr": 100}, {"en": 450, "de": 350, "fr": 100, "ja": 100})
    assert found.effect == pytest.approx(0.1)
    assert found.p < 1e-9


def test_many_rare_categories_do_not_look_like_a_change():
    """Two hundred categories of about one row each: chi-square on them as they are is far from its distribution."""
    rng, alarms = np.random.default_rng(1), 0
    for _ in range(200):
        one, other = (dict(zip(*np.unique(rng.integers(200, size=200), return_counts=True), strict=True)) for _ in "ab")
        names = [{str(name): int(count) for name, count in sample.items()} for sample in (one, other)]
        alarms += categories(*names).p < 0.05
    assert alarms <= 18


def test_one_category_alone_says_nothing():
    found = categories({"a": 10}, {"a": 300})
    assert (found.effect, found.p) == (0.0, 1.0)


def test_holm_holds_the_least_p_value_to_the_strictest_level():
    assert holm({"a": 0.004, "b": 0.006, "c": 0.5}, 0.02) == {"a": 0.02 / 3, "b": 0.02 / 2}
    assert holm({"a": 0.008, "b": 0.001, "c": 0.5}, 0.02) == {"b": 0.02 / 3, "a": 0.02 / 2}
    assert holm({"a": 0.008, "b": 0.009}, 0.01) == {}
    assert holm({}, 0.05) == {}


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), max_size=12), st.floats(0.001, 0.2))
def test_holm_holds_all_that_bonferroni_holds_and_nothing_above_the_error(p_values, error):
    held = holm(p_values, error)
    assert {name for name, p in p_values.items() if p <= error / len(p_values)} <= set(held)
    assert all(p_values[name] <= held[name] <= error for name in held)


@pytest.mark.parametrize("size", [100, 1000])
def test_unchanged_samples_are_called_different_as_often_as_the_level_says(size):
    rng = np.random.default_rng(2)
    p_numbers = [numbers(rng.lognormal(size=size), rng.lognormal(size=size)).p for _ in range(400)]
    p_shares = []
    for _ in range(400):
        yes = rng.binomial(size, 0.2, 2)
        p_shares.append(categories(*({"yes": int(count), "no": size - int(count)} for count in yes)).p)
    for p_values in (p_numbers, p_shares):
        assert np.mean(np.array(p_values) < 0.05) <= 0.08
