from pathlib import Path

import pytest

from tasks.adapters.training.loss_curve import draw_loss, running_mean

HISTORY = [{"step": step, "loss": 3 / step, "learning_rate": 1e-3 / step} for step in range(1, 20)]


def test_equal_values_make_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        draw_loss(HISTORY, tmp_path / name)
    picture = (tmp_path / "a.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert picture == (tmp_path / "b.png").read_bytes()
    assert b"matplotlib" not in picture


def test_one_step_can_be_drawn(tmp_path: Path) -> None:
    draw_loss(HISTORY[:1], tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_the_running_mean_of_a_constant_is_the_constant_from_the_first_step() -> None:
    assert running_mean([2.0] * 5) == pytest.approx([2.0] * 5)


def test_the_running_mean_follows_slowly() -> None:
    means = running_mean([1.0, 1.0, 5.0])
    assert 1 < means[-1] < 5
