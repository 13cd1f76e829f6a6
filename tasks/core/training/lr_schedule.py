"""The learning rate schedule: linear warm-up, then linear decay to a twentieth. Pure."""

MIN_FACTOR = 0.05  # so that the last steps still learn


def learning_rate_factor(step: int, *, total: int, warmup: float) -> float:
    """Return the factor (0..1] for optimiser step `step`, counted from 0; the first step already learns.

    `warmup` is the share of the steps in which the factor rises.
    """
    num_rising = max(1, round(total * warmup))
    if step < num_rising:
        return (step + 1) / num_rising
    decayed = (step + 1 - num_rising) / max(1, total - num_rising)
    return max(MIN_FACTOR, 1 - (1 - MIN_FACTOR) * decayed)
