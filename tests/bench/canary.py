"""How often a canary is wrong, and how soon it sees harm: simulated rollouts, looked at after every request.

`python -m tests.bench.canary [--quick]` simulates, for shares of 1, 10 and 50 % and several rates of good answers,
1,000 candidates (quick: 100) that equal the champion, that are exactly the accepted margin worse, and that are ten
points worse. A signal is right or wrong, the kind that varies most; the five guards of the default rule vary too. The
baseline is the z-test of a fixed sample with the same error and level, looked at as often. Promised: false promotion
and false rollback at most 5 %; a model ten points worse rolled back before it has answered 1,000 requests in at least
95 %. `--quick` calls a promise missed where chance does not explain it (binomial test, 1 %). Beside it, without a
promise, stand how often an equal model may advance, and what sticky routing does: requests of a key are alike.
"""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from tasks.core.rollout.decision import RolloutRule
from tasks.core.statistics.sequential_test import Evidence, Totals, compare, radius

SEED = 20
MODELS, QUICK_MODELS = 1000, 100
HORIZON = 5000  # requests of both arms together
SERVED = 1000  # requests a model that is ten points worse may answer
BLOCK = 50  # models simulated at once
SHARES = (0.01, 0.1, 0.5)
RATES = (0.02, 0.1, 0.5, 0.9, 0.98)
HARM = 0.10
GUARD_RATES = {"errors": 0.01, "slow": 0.05, "abstained": 0.15, "ungrounded": 0.1, "negative_feedback": 0.3}
FEEDBACK = 0.1  # share of requests with feedback
KEY_REQUESTS, KEY_SPREAD = 25, 0.15  # requests of a key; standard deviation of its own rate of good answers
FALSE, FOUND = 0.05, 0.95
BETTER = RolloutRule(advance="better")
NOT_WORSE = RolloutRule(advance="not_worse")


@dataclass(frozen=True)
class Outcomes:
    """Shares of the simulated rollouts: our rule, and the z-test looked at after every request."""

    advanced: float
    rolled_back: float
    naive_advanced: float
    naive_rolled_back: float


@dataclass
class Line:
    """A row of the table, and whether it kept its promise."""

    name: str
    rate: float
    promise: str
    is_kept: bool
    naive: str


def draw(rates: tuple[float, float], share: float, models: int, rng: np.random.Generator) -> Iterator[Evidence]:
    """Yield, for blocks of models, the evidence after each of HORIZON requests; rates are candidate's, champion's."""
    for start in range(0, models, BLOCK):
        size = (min(BLOCK, models - start), HORIZON)
        is_candidate = rng.random(size) < share
        good = rng.random(size) < np.where(is_candidate, *rates)
        yield compare(counted(good, is_candidate), counted(good, ~is_candidate))


def counted(good: np.ndarray, is_arm: np.ndarray) -> Totals:
    """Return an arm's sums after each request, every request being its own key."""
    requests = np.cumsum(is_arm, axis=1, dtype=float)
    total = np.cumsum(good & is_arm, axis=1, dtype=float)
    return Totals(requests, requests, total, total, total, requests)


def above(evidence: Evidence, limit: float, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Return at which requests the gain is shown to exceed `limit`: by our bound, and by a z-test."""
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = evidence.score / evidence.information - limit
        ours = gain > radius(evidence.information, alpha)
        naive = gain * np.sqrt(evidence.information) > stats.norm.ppf(1 - alpha)
    return ours, naive


def below(evidence: Evidence, limit: float, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Return at which requests the gain is shown to lie below `limit`."""
    return above(Evidence(-evidence.score, evidence.information), -limit, alpha)


def ever(found: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Return by model whether it happened at any request: row 0 ours, row 1 the z-test's."""
    return np.stack([which.any(axis=1) for which in found])


def of_primary(rule: RolloutRule, rates: tuple[float, float], share: float, models: int) -> np.ndarray:
    """Return by model, ours and the z-test's, whether the primary signal ever allows an advance, or is ever harmed."""
    name, rng = rule.primary, np.random.default_rng([SEED, int(1000 * share), int(1000 * rates[0])])
    found = []
    for evidence in draw(rates, share, models, rng):
        advance = ever(above(evidence, rule.needed(name), rule.false_advance))
        harm = ever(below(evidence, rule.harm_limit(name), rule.rollback_alpha(name)))
        found.append(np.stack([advance, harm]))
    return np.concatenate(found, axis=2)


def of_guards(rule: RolloutRule, share: float, models: int) -> np.ndarray:
    """Return by model, ours and the z-test's, whether any guard of an equal candidate is ever found harmed."""
    harmed = np.zeros((2, models), dtype=bool)
    for number, (name, rate) in enumerate(GUARD_RATES.items()):
        rng = np.random.default_rng([SEED, int(1000 * share), number])
        for block, evidence in enumerate(guard_evidence(name, rate, share, models, rng)):
            worse = Evidence(-evidence.score, evidence.information)  # all of them are better when lower
            rows = slice(block * BLOCK, block * BLOCK + len(worse.score))
            harmed[:, rows] |= ever(below(worse, rule.harm_limit(name), rule.rollback_alpha(name)))
    return harmed


def guard_evidence(name: str, rate: float, share: float, models: int, rng: np.random.Generator) -> Iterator[Evidence]:
    """Yield the evidence on a guard; feedback comes on few requests only."""
    for start in range(0, models, BLOCK):
        size = (min(BLOCK, models - start), HORIZON)
        is_candidate = rng.random(size) < share
        is_measured = rng.random(size) < FEEDBACK if name == "negative_feedback" else np.ones(size, dtype=bool)
        bad = rng.random(size) < rate
        yield compare(counted(bad, is_candidate & is_measured), counted(bad, ~is_candidate & is_measured))


def equal_models(share: float, rate: float, models: int) -> Outcomes:
    """Return how often rollouts of an equal model end wrongly under the rule that wants a better one."""
    advanced, harmed = of_primary(BETTER, (rate, rate), share, models)
    harmed = harmed | of_guards(BETTER, share, models)
    return Outcomes(advanced[0].mean(), harmed[0].mean(), advanced[1].mean(), harmed[1].mean())


def margin_worse(share: float, rate: float, models: int) -> tuple[float, float]:
    """Return how often a model worse by exactly the margin passes as not worse: by our rule, by the z-test."""
    margin = NOT_WORSE.signals[NOT_WORSE.primary].margin
    advanced, _ = of_primary(NOT_WORSE, (rate - margin, rate), share, models)
    return advanced[0].mean(), advanced[1].mean()


def ten_points_worse(share: float, rate: float, models: int) -> tuple[float, float]:
    """Return how often a model that is ten points worse is rolled back in time, and after how many requests (median).

    Looked at after each request of the candidate; between two of them the champion answers a random number.
    """
    rng = np.random.default_rng([SEED, int(1000 * share), int(1000 * rate), 1])
    size = (models, SERVED - 1)
    requests = np.broadcast_to(np.arange(1.0, SERVED), size)
    good = np.cumsum(rng.random(size) < rate - HARM, axis=1, dtype=float)
    between = rng.geometric(share, size) - 1
    others = np.cumsum(between, axis=1, dtype=float)
    other_good = np.cumsum(rng.binomial(between, rate), axis=1, dtype=float)
    candidate = Totals(requests, requests, good, good, good, requests)
    champion = Totals(others, others, other_good, other_good, other_good, others)
    name = BETTER.primary
    harmed, _ = below(compare(candidate, champion), BETTER.harm_limit(name), BETTER.rollback_alpha(name))
    first = np.where(harmed.any(axis=1), harmed.argmax(axis=1) + 1.0, np.inf)
    return float(np.isfinite(first).mean()), float(np.median(first))


def sticky_keys(share: float, models: int) -> tuple[float, float]:
    """Return how often an equal model is found harmed when keys differ: counting keys, and counting requests."""
    rng = np.random.default_rng([SEED, int(1000 * share), 2])
    harmed = np.zeros((2, models), dtype=bool)
    for model in range(models):
        evidences = keyed_evidence(share, rng)
        for row, evidence in enumerate(evidences):
            harmed[row, model] = below(evidence, 0.0, BETTER.rollback_alpha(BETTER.primary))[0].any()
    return harmed[0].mean(), harmed[1].mean()


def keyed_evidence(share: float, rng: np.random.Generator) -> tuple[Evidence, Evidence]:
    """Return the evidence after each request with keys told apart, and with each request for itself."""
    num_keys = HORIZON // KEY_REQUESTS
    rates = np.clip(rng.normal(0.7, KEY_SPREAD, num_keys), 0, 1)
    is_candidate = rng.random(num_keys) < share
    key = rng.integers(num_keys, size=HORIZON)
    good = rng.random(HORIZON) < rates[key]
    arms = [by_key(good, key, is_candidate[key]), by_key(good, key, ~is_candidate[key])]
    single = [counted(good[None], mask[None]) for mask in (is_candidate[key], ~is_candidate[key])]
    return tuple(
        Evidence(np.atleast_2d(e.score), np.atleast_2d(e.information)) for e in (compare(*arms), compare(*single))
    )


def by_key(good: np.ndarray, key: np.ndarray, is_arm: np.ndarray) -> Totals:
    """Return an arm's sums after each request, requests of a key belonging together."""
    order = np.argsort(key, kind="stable")
    starts = np.searchsorted(key[order], key[order])
    earlier = np.empty(len(key))
    earlier[order] = np.arange(len(key)) - starts  # requests the key made before
    sums = np.cumsum(good[order]) - good[order]
    sums_before = np.empty(len(key))
    sums_before[order] = sums - sums[starts]
    value = good.astype(float)
    parts = (
        np.ones(len(key)),
        earlier == 0,
        value,
        2 * sums_before * value + value,
        sums_before + (earlier + 1) * value,
        2 * earlier + 1,
    )
    return Totals(*(np.cumsum(part * is_arm, dtype=float) for part in parts))


def table(models: int) -> Iterator[Line]:
    """Yield every promised row."""
    for share in SHARES:
        for rate in RATES:
            found = equal_models(share, rate, models)
            where = f"equal, share {share:.0%}, rate {rate}"
            naive = f"{found.naive_advanced:.1%}", f"{found.naive_rolled_back:.1%}"
            yield at_most(f"{where}: promoted as better", found.advanced, models, naive[0])
            yield at_most(f"{where}: rolled back", found.rolled_back, models, naive[1])
    for share in SHARES:
        for rate in (0.1, 0.5, 0.9):
            ours, naive_rate = margin_worse(share, rate, models)
            name = f"margin worse, share {share:.0%}, rate {rate}: promoted as not worse"
            yield at_most(name, ours, models, f"{naive_rate:.1%}")
    for share in SHARES:
        for rate in (0.2, 0.5, 0.6, 0.9):
            found_rate, median = ten_points_worse(share, rate, models)
            name = f"10 points worse, share {share:.0%}, rate {rate}: rolled back in time (median {median:.0f})"
            yield Line(name, found_rate, ">= 95 %", is_kept(1 - found_rate, 1 - FOUND, models), "")


def at_most(name: str, rate: float, models: int, naive: str) -> Line:
    return Line(name, rate, "<=  5 %", is_kept(rate, FALSE, models), naive)


def is_kept(rate: float, limit: float, models: int) -> bool:
    """Return whether errors stay within the limit; of fewer models than promised, whether chance explains the rest."""
    if models >= MODELS:
        return rate <= limit + 1e-9
    return stats.binomtest(round(rate * models), models, limit, "greater").pvalue > 0.01


def main(models: int) -> None:
    started, missed = time.process_time(), []
    print(f"{models} models a row, seed {SEED}, {HORIZON} requests, looked at after each of them")
    print(f"{'rollouts':<72}{'ratchet':>9}{'promised':>10}{'z-test':>9}")
    for line in table(models):
        print(f"{line.name:<72}{line.rate:>9.1%}{line.promise:>10}{line.naive:>9}")
        missed += [] if line.is_kept else [line.name]
    for share in SHARES[1:]:
        advanced = of_primary(NOT_WORSE, (0.9, 0.9), share, models)[0, 0].mean()
        print(f"equal, share {share:.0%}, rate 0.9: primary signal shown not to be worse {advanced:.1%}")
        keys, requests = sticky_keys(share, max(models // 5, 20))
        print(f"equal, sticky keys, share {share:.0%}: rolled back, counting keys {keys:.1%}, requests {requests:.1%}")
    print(f"{time.process_time() - started:.0f} CPU-s")
    if missed:
        sys.exit("missed: " + "; ".join(missed))


if __name__ == "__main__":
    main(QUICK_MODELS if "--quick" in sys.argv else MODELS)
