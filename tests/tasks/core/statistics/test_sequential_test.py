import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tasks.core.statistics.sequential_test import MIN_UNITS, Arm, ArmComparison, Evidence, bounds, compare, radius


def _load_bench():
    spec = importlib.util.spec_from_file_location("canary_bench", Path(__file__).parents[3] / "bench" / "canary.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["canary_bench"] = module
    spec.loader.exec_module(module)
    return module


BENCH = _load_bench()
VALUES = st.floats(0, 1, allow_subnormal=False)
REQUESTS = st.lists(st.tuples(VALUES, st.none() | st.sampled_from("abcdefgh")), min_size=0, max_size=60)


def arm(requests) -> Arm:
    found = Arm()
    for request in requests:
        value, key = request if isinstance(request, tuple) else (request, None)
        found.observe(value, key)
    return found


def comparison(candidate, champion, better="higher") -> ArmComparison:
    return ArmComparison(better, arm(candidate), arm(champion))


def bernoulli(rate: float, size: int, seed: int) -> list[float]:
    return (np.random.default_rng(seed).random(size) < rate).astype(float).tolist()


@given(REQUESTS)
def test_counting_up_gives_the_sums_over_keys(requests):
    totals = arm(requests).totals()
    keys = {}
    for number, (value, key) in enumerate(requests):
        keys.setdefault(key or number, []).append(value)
    groups = [(len(values), sum(values)) for values in keys.values()]
    assert totals.requests == len(requests)
    assert totals.keys == len(keys)
    assert totals.total == pytest.approx(sum(s for _, s in groups))
    assert totals.squares == pytest.approx(sum(s * s for _, s in groups))
    assert totals.products == pytest.approx(sum(s * n for n, s in groups))
    assert totals.sizes == sum(n * n for n, _ in groups)


@given(REQUESTS, REQUESTS, st.randoms(use_true_random=False))
def test_the_order_of_requests_within_an_arm_does_not_matter(one, other, random):
    shuffled = random.sample(one, len(one))
    before, after = comparison(one, other).evidence(), comparison(shuffled, other).evidence()
    assert after.score == pytest.approx(before.score)
    assert after.information == pytest.approx(before.information)


@given(REQUESTS, REQUESTS)
def test_exchanging_the_arms_turns_the_gain_around(one, other):
    forth, back = comparison(one, other).evidence(), comparison(other, one).evidence()
    assert forth.score == pytest.approx(-back.score)
    assert forth.information == pytest.approx(back.information)


@given(REQUESTS, REQUESTS)
def test_a_signal_and_its_complement_that_is_better_when_lower_say_the_same(one, other):
    flipped = [[(1 - value, key) for value, key in requests] for requests in (one, other)]
    higher, lower = comparison(one, other).evidence(), comparison(*flipped, better="lower").evidence()
    assert lower.score == pytest.approx(higher.score, rel=1e-6, abs=1e-6)
    assert lower.information == pytest.approx(higher.information, rel=1e-6)


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf, -0.1, 1.1])
def test_what_is_no_number_between_0_and_1_was_not_measured(value):
    found = arm([value] * 5)
    assert (found.measured, found.unmeasured, found.mean) == (0, 5, None)


def test_no_bounds_below_the_least_number_of_keys():
    enough, few = [1.0] * MIN_UNITS, [0.0] * (MIN_UNITS - 1)
    for one, other in ((enough, few), (few, enough), ([], []), (enough, [])):
        found = bounds(comparison(one, other).evidence(), 0.05, 0.05)
        assert (found.low, found.high, found.is_known) == (-math.inf, math.inf, False)
    assert bounds(comparison(enough, [*few, 0.0]).evidence(), 0.05, 0.05).is_known


def test_many_requests_of_few_keys_are_few():
    requests = [(1.0, f"key-{number % (MIN_UNITS - 1)}") for number in range(1000)]
    assert not bounds(comparison(requests, bernoulli(0.5, 1000, 0)).evidence(), 0.05, 0.05).is_known


def test_requests_of_a_key_that_are_alike_count_as_about_one():
    once = [(value, f"key-{number}") for number, value in enumerate(bernoulli(0.5, 200, 1))]
    often = [request for request in once for _ in range(10)]
    independent = [(value, None) for value, _ in often]
    other = bernoulli(0.5, 200_000, 2)
    single, repeated, naive = (comparison(a, other).evidence().information for a in (once, often, independent))
    assert repeated == pytest.approx(single, rel=0.03)
    assert naive > 9 * repeated


def test_an_arm_without_a_single_error_has_not_shown_that_it_makes_none():
    champion = bernoulli(0.02, 20_000, 3)
    evidence = comparison([0.0] * 200, champion, better="lower").evidence()
    assert 1 / evidence.information >= np.var(champion) / 200
    assert bounds(evidence, 0.05, 0.05).low < 0


@given(information=st.floats(1, 1e7), alpha=st.floats(0.001, 0.4), effect=st.floats(0.02, 0.5))
def test_the_bound_lies_where_the_mixture_reaches_one_in_alpha(information, alpha, effect):
    """Half-normal mixture of exp(drift * score - drift^2 * information / 2), the integral done in closed form."""
    score = float(radius(information, alpha, effect)) * information
    weight = 1 + information * effect**2
    y = score * effect / math.sqrt(weight)
    log_mixture = math.log(2) - math.log(weight) / 2 + y * y / 2 + stats.norm.logcdf(y)
    assert log_mixture >= -math.log(alpha) - 1e-9
    assert log_mixture <= -math.log(alpha) + math.log(2)


@given(st.floats(1, 1e6), st.floats(0.001, 0.2))
def test_more_evidence_or_more_error_narrows_the_bounds(information, alpha):
    width = radius(information, alpha)
    assert radius(2 * information, alpha) < width
    assert radius(information, 2 * alpha) < width
    assert radius(0.0, alpha) == math.inf


def test_the_next_part_keeps_the_evidence_and_adds_to_it():
    first = comparison(bernoulli(0.6, 300, 4), bernoulli(0.5, 300, 5))
    second = first.next_part()
    assert second.evidence() == first.evidence()
    for value, other in zip(bernoulli(0.6, 300, 6), bernoulli(0.5, 300, 7), strict=True):
        second.candidate.observe(value)
        second.champion.observe(other)
    alone = compare(second.candidate.totals(), second.champion.totals())
    assert second.evidence() == first.evidence() + alone
    assert second.evidence().information > first.evidence().information


def test_traffic_that_gets_harder_while_the_share_grows_does_not_pass_for_a_worse_candidate():
    easy, hard = (bernoulli(0.9, 100, 8), bernoulli(0.9, 5000, 9)), (bernoulli(0.5, 3000, 10), bernoulli(0.5, 3000, 11))
    apart = comparison(*easy).next_part()
    for side, values in ((apart.candidate, hard[0]), (apart.champion, hard[1])):
        for value in values:
            side.observe(value)
    together = comparison(easy[0] + hard[0], easy[1] + hard[1])
    assert bounds(apart.evidence(), 0.05, 0.05).high > 0
    assert bounds(together.evidence(), 0.05, 0.05).high < 0


def test_many_moments_at_once_give_what_counting_up_gives():
    rng = np.random.default_rng(12)
    good, is_candidate = rng.random(400) < 0.7, rng.random(400) < 0.3
    at_once = compare(BENCH.counted(good[None], is_candidate[None]), BENCH.counted(good[None], ~is_candidate[None]))
    live = ArmComparison("higher")
    for moment, (value, candidates) in enumerate(zip(good, is_candidate, strict=True)):
        (live.candidate if candidates else live.champion).observe(float(value))
        assert live.evidence().score == pytest.approx(at_once.score[0, moment])
        assert live.evidence().information == pytest.approx(at_once.information[0, moment])


def test_many_moments_of_keyed_requests_give_what_counting_up_gives():
    rng = np.random.default_rng(13)
    good, key = rng.random(300) < 0.7, rng.integers(40, size=300)
    totals = BENCH.by_key(good, key, np.ones(300, dtype=bool))
    live = arm((float(value), str(k)) for value, k in zip(good, key, strict=True)).totals()
    assert {name: values[-1] for name, values in vars(totals).items()} == pytest.approx(vars(live))


def test_the_true_gain_lies_within_the_bounds_at_every_request_of_nearly_all_rollouts():
    """Both sides at 5 %: at most one rollout in ten, and not so few that the bounds would be useless."""
    rng = np.random.default_rng(14)
    missed = []
    for evidence in BENCH.draw((0.55, 0.5), 0.5, 300, rng):
        above, below = BENCH.above(evidence, 0.05, 0.05)[0], BENCH.below(evidence, 0.05, 0.05)[0]
        missed += (above | below).any(axis=1).tolist()
    assert 0.02 < np.mean(missed) <= 0.1


@settings(max_examples=50)
@given(st.floats(-0.5, 0.5), st.floats(1, 1e6), st.floats(0.001, 0.2), st.floats(0.001, 0.2))
def test_the_gain_lies_between_its_bounds(gain, information, alpha_low, alpha_high):
    found = bounds(Evidence(gain * information, information), alpha_low, alpha_high)
    assert found.low < found.gain < found.high
    assert found.gain == pytest.approx(gain)
