import numpy as np

from tasks.adapters.evaluation.predictions import Predictions
from tasks.adapters.inference.batch_types import Answer


def test_speeds_of_a_model_without_an_answer_are_zero_not_a_crash() -> None:
    predictions = Predictions([Answer("", 1, 0, "timeout", 3.0)], [], 3.0)
    assert predictions.speed() == {"p50_s": 0.0, "p95_s": 0.0, "wall_s": 3.0, "tokens_per_s": 0.0}
    assert np.isfinite(predictions.speed()["tokens_per_s"])
