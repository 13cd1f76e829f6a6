"""Draw the loss curve of a training as a PNG (matplotlib); equal values give equal bytes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

SMOOTHING = 0.8  # weight of the past in the running mean
SIZE_INCHES = (8, 4.5)


def draw_loss(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw the loss of each step with its running mean, and the learning rate below."""
    from matplotlib.figure import Figure

    steps = [row["step"] for row in history]
    losses = [row["loss"] for row in history]
    figure = Figure(figsize=SIZE_INCHES, dpi=110, layout="constrained")
    above, below = figure.subplots(2, sharex=True, height_ratios=(4, 1))
    above.plot(steps, losses, color="#9db7d5", linewidth=1, label="step")
    above.plot(steps, running_mean(losses), color="#1f4e8c", linewidth=2, label="running mean")
    above.set_ylabel("loss per completion token")
    above.set_ylim(bottom=0)
    above.grid(alpha=0.3)
    above.legend(frameon=False)
    below.plot(steps, [row["learning_rate"] for row in history], color="#b5651d", linewidth=1.5)
    below.set_ylim(bottom=0)
    below.set_ylabel("learning rate")
    below.set_xlabel("optimiser step")
    below.grid(alpha=0.3)
    figure.savefig(path, metadata={"Software": None})


def running_mean(values: Sequence[float], smoothing: float = SMOOTHING) -> list[float]:
    """Return exponential means without the bias towards the first value (Kingma & Ba 2015, section 3)."""
    means, mean = [], 0.0
    for count, value in enumerate(values, 1):
        mean = smoothing * mean + (1 - smoothing) * value
        means.append(mean / (1 - smoothing**count))
    return means
