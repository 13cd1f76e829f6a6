"""The course of the learning rate: a straight rise, then a straight fall to a twentieth."""

FLOOR = 0.05  # the last steps still move something


def learning_rate_factor(step: int, *, total: int, warmup: float) -> float:
    """Return the factor (0..1] for optimiser step `step`, counted from 0; the first step already learns.

    `warmup` is the share of the steps in which it rises.
    """
    rise = max(1, round(total * warmup))
    if step < rise:
        return (step + 1) / rise
    fall = (step + 1 - rise) / max(1, total - rise)
    return max(FLOOR, 1 - (1 - FLOOR) * fall)
