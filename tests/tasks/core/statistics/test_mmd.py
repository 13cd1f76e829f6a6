import time

import numpy as np
import pytest

from tasks.core.statistics.mmd import PERMUTATIONS, discrepancy, gaussian_kernel


def cloud(rows: int, seed: int, center: float = 0.0, dimensions: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).normal(center, 1, (rows, dimensions)).astype(np.float32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_two_samples_of_one_cloud_do_not_differ():
    found = discrepancy(cloud(300, 0), cloud(300, 1), rng())
    assert found.p > 0.05
    assert found.effect < 0.02


def test_two_clouds_apart_differ_with_the_least_p_value_there_is():
    found = discrepancy(cloud(200, 0), cloud(200, 1, center=1.0), rng())
    assert found.p == 1 / (PERMUTATIONS + 1)
    assert found.effect > 0.05


def test_the_effect_grows_with_the_share_of_rows_from_elsewhere():
    usual, elsewhere = cloud(1600, 2, dimensions=4), cloud(400, 3, center=2.0, dimensions=4)
    effects = []
    for share in (0, 100, 200, 400):
        window = np.concatenate([usual[800 : 1600 - share], elsewhere[:share]])
        effects.append(discrepancy(usual[:800], window, rng()).effect)
    assert effects[3] == pytest.approx(2 * effects[2], rel=0.1)
    assert effects[0] < effects[1] < effects[2] < effects[3]


def test_the_effect_is_the_unbiased_estimate_by_its_definition():
    one, other = cloud(40, 4, dimensions=3), cloud(30, 5, center=1.0, dimensions=3)
    kernel = gaussian_kernel(np.concatenate([one, other]), rng())
    inside, outside, between = kernel[:40, :40], kernel[40:, 40:], kernel[:40, 40:]
    squared = inside.sum() / (40 * 39) + outside.sum() / (30 * 29) - 2 * between.mean()
    assert discrepancy(one, other, rng()).effect == pytest.approx(squared**0.5, rel=1e-4)


def test_the_same_seed_gives_the_same_answer():
    one, other = cloud(150, 6), cloud(150, 7, center=0.05)
    assert discrepancy(one, other, rng(3)) == discrepancy(one, other, rng(3))


def test_uneven_samples_of_one_cloud_are_called_different_as_often_as_the_level_says():
    generator = rng(8)
    p_values = [
        discrepancy(
            generator.normal(size=(120, 8)).astype(np.float32),
            generator.normal(size=(40, 8)).astype(np.float32),
            generator,
        ).p
        for _ in range(200)
    ]
    assert np.mean(np.array(p_values) <= 0.05) <= 0.09
    assert np.mean(np.array(p_values) <= 0.2) == pytest.approx(0.2, abs=0.1)


def test_rows_that_are_all_alike_do_not_differ():
    found = discrepancy(np.ones((50, 5), np.float32), np.ones((60, 5), np.float32), rng())
    assert (found.effect, found.p) == (0.0, 1.0)


def test_a_thousand_rows_against_a_thousand_take_less_than_a_second_of_cpu():
    one, other = cloud(1000, 9, dimensions=384), cloud(1000, 10, center=0.2, dimensions=384)
    started = time.thread_time()
    assert discrepancy(one, other, rng()).p == 1 / (PERMUTATIONS + 1)
    assert time.thread_time() - started < 1.0
