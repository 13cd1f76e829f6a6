"""How often the gate is wrong, and what it can see: simulated evaluations through the real gate.

`python -m tests.bench.gate [DRAWS]` prints false promotions of an equal model (A/A) beside three simpler rules on the
same draws, and the power against a true gain. An evaluation has 400 items behind 150 documents of uneven size; 70 % are
answerable and scored 0, 1 or between (token F1), the rest 0 or 1. Models answer most items alike, and each has its own
luck with a document, so that items are not independent.
"""

import sys
import time
from dataclasses import dataclass

import numpy as np
import polars as pl

from tasks.core.release.gate import Evidence, GateConfig, decide

ITEMS, DOCUMENTS, PROBE_ITEMS = 400, 150, 100
DRAWS = 2000
RESAMPLES = 2000
DOCUMENT_SPREAD = 0.9  # standard deviation, in logits, of a model's own luck with a document
ALIKE, PROBE_ALIKE = 0.5, 0.85  # share of items on which two models roll the same dice


@dataclass(frozen=True)
class World:
    """The items, drawn once: document, answerable or not, and how hard they are."""

    document: np.ndarray
    answerable: np.ndarray
    hardness: np.ndarray
    probe_hardness: np.ndarray


@dataclass(frozen=True)
class Dice:
    """Uniform numbers an item: which of two models' answers come out right, close, declined."""

    right: np.ndarray
    close: np.ndarray
    decline: np.ndarray
    probe: np.ndarray


def make_world(seed: int, items: int = ITEMS, documents: int = DOCUMENTS) -> World:
    """Return items whose documents have uneven sizes, each at least one item."""
    rng = np.random.default_rng(seed)
    extra = rng.choice(documents, items - documents, p=rng.dirichlet(np.full(documents, 2.0)))
    return World(
        document=np.sort(np.concatenate([np.arange(documents), extra])),
        answerable=rng.random(items) < 0.7,
        hardness=rng.normal(0, 1.5, items),
        probe_hardness=rng.normal(0, 2.0, PROBE_ITEMS),
    )


def roll(world: World, rng: np.random.Generator, like: Dice | None = None) -> Dice:
    """Return dice; those of most items are the same as in `like`."""
    items, probe = len(world.document), len(world.probe_hardness)
    own = Dice(rng.random(items), rng.random(items), rng.random(items), rng.random(probe))
    if like is None:
        return own
    same, probe_same = rng.random(items) < ALIKE, rng.random(probe) < PROBE_ALIKE
    return Dice(
        np.where(same, like.right, own.right),
        np.where(same, like.close, own.close),
        np.where(same, like.decline, own.decline),
        np.where(probe_same, like.probe, own.probe),
    )


def measure(world: World, skill: float, dice: Dice, rng: np.random.Generator) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return rows and probe of a model: `skill` in logits moves every chance."""
    size = len(world.document)
    luck = rng.normal(0, DOCUMENT_SPREAD, world.document.max() + 1)[world.document]
    chance = _logistic(skill + luck - world.hardness)
    exact = dice.right < chance
    partial = np.maximum(0.0, dice.close - 0.4)
    f1 = np.where(exact, 1.0, partial)
    declined = np.where(world.answerable, dice.decline < 0.1 * (1 - chance), exact)
    f1 = np.where(declined, 0.0, f1)
    score = np.where(world.answerable, f1, declined)
    hallucinated = ~declined & (~world.answerable | (f1 < 0.5))
    rows = pl.DataFrame(
        {
            "item_id": [f"item-{i:05d}" for i in range(size)],
            "cluster": [f"document-{d:05d}" for d in world.document],
            "answerable": world.answerable,
            "score": score.astype(float),
            "token_f1": f1,
            "hallucinated": hallucinated.astype(float),
            "ungrounded": (hallucinated & (dice.decline < 0.3)).astype(float),
            "status": "ok",
        }
    )
    right = dice.probe < _logistic(1.5 - world.probe_hardness)
    probe = pl.DataFrame(
        {
            "item_id": [f"probe-{i:03d}" for i in range(PROBE_ITEMS)],
            "correct": right.astype(int),
            "status": "ok",
        }
    )
    return rows, probe


def draw(world: World, gain: float, seed: int) -> Evidence:
    """Return one evaluation of a candidate that is better by `gain` logits than the champion."""
    rng = np.random.default_rng(seed)
    dice = roll(world, rng)
    arms = {
        "candidate": measure(world, gain, dice, rng),
        "champion": measure(world, 0.0, roll(world, rng, like=dice), rng),
    }
    rows, probe = (
        pl.concat(tables[i].with_columns(pl.lit(name).alias("model")) for name, tables in arms.items()) for i in (0, 1)
    )
    return Evidence(rows, probe, "champion")


def promotion_rates(world: World, gain: float, draws: int, config: GateConfig) -> tuple[float, float]:
    """Return the share of `draws` whose primary metric passes, and the share that the gate promotes."""
    verdicts = [decide(draw(world, gain, seed), config) for seed in range(draws)]
    passed = sum(verdict.primary.state == "held" for verdict in verdicts)
    return passed / draws, sum(verdict.outcome == "PROMOTE" for verdict in verdicts) / draws


def simpler_rules(world: World, gain: float, draws: int) -> dict[str, float]:
    """Return how often three usual rules would promote: looking at the mean, and at items as if independent."""
    promoted = dict.fromkeys(("mean is higher", "mean is higher by 0.02", "interval over items, no guards"), 0)
    for seed in range(draws):
        rows = draw(world, gain, seed).rows
        scores = rows["score"].to_numpy().reshape(2, -1)
        difference = scores[0] - scores[1]
        mean, error = difference.mean(), difference.std(ddof=1) / len(difference) ** 0.5
        for rule, is_promoted in zip(promoted, (mean > 0, mean >= 0.02, mean > 1.96 * error), strict=True):
            promoted[rule] += int(is_promoted)
    return {rule: count / draws for rule, count in promoted.items()}


def true_gain(world: World, gain: float) -> float:
    """Return the gain in score that `gain` logits mean, from 100 evaluations."""
    tables = [draw(world, gain, 10_000 + seed).rows["score"].to_numpy().reshape(2, -1) for seed in range(100)]
    return float(np.mean([scores[0].mean() - scores[1].mean() for scores in tables]))


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def main(draws: int) -> None:
    config = GateConfig(resamples=RESAMPLES)
    started = time.process_time()
    worlds = {"400 items, 150 documents": make_world(0), "1,200 items, 450 documents": make_world(1, 1200, 450)}
    few = GateConfig(resamples=RESAMPLES, min_items=80, min_clusters=30)
    print(f"A/A: an equal model, {draws} draws; at most 3 % may be promoted")
    print(f"{'evaluation':<28}{'rule':<34}{'promoted':>9}")
    for name, world in {**worlds, "80 items, 30 documents": make_world(2, 80, 30)}.items():
        rates = simpler_rules(world, 0.0, draws)
        primary, whole = promotion_rates(world, 0.0, draws, few if "80 items" in name else config)
        rates |= {"the gate's primary metric alone": primary, "the gate": whole}
        for rule, rate in rates.items():
            print(f"{name:<28}{rule:<34}{rate:>8.1%}")
    power_draws = max(draws // 8, 1)
    print(f"\nPower: promoted out of {power_draws} draws, by the true gain in score")
    for name, world in worlds.items():
        for gain in (0.1, 0.2, 0.4, 0.6, 0.8):
            rate = promotion_rates(world, gain, power_draws, config)[1]
            print(f"{name:<28}gain {true_gain(world, gain):+.3f}{'':<20}{rate:>8.1%}")
    print(f"\n{time.process_time() - started:.0f} CPU-s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else DRAWS)
