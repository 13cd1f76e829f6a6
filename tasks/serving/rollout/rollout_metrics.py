"""The rollout among the gateway's Prometheus metrics; NaN where there is none."""

from collections.abc import Mapping
from typing import Any

from tasks.serving.gateway.metrics import Metrics
from tasks.serving.gateway.router import CHAMPION
from tasks.serving.rollout.rollout_controller import RolloutController
from tasks.serving.rollout.rollout_router import CANDIDATE, RolloutRouter

OUTCOMES = {"ADVANCE": 1.0, "WAIT": 0.0, "ROLLBACK": -1.0}
NONE = float("nan")


def show_rollout(metrics: Metrics, router: RolloutRouter, controller: RolloutController) -> None:
    """Add the rollout's gauges."""

    def share() -> float:
        return router.rollout.share if router.rollout else NONE

    def outcome() -> float:
        return OUTCOMES[controller.decision.outcome] if controller.decision else NONE

    def requests(arm: str) -> float:
        served: Mapping[Any, int] = controller.evidence.requests if controller.evidence else {}
        return float(served.get(arm, NONE))

    metrics.gauge("ratchet_rollout_share", "Of the askers that get the candidate's answers.", share)
    metrics.gauge("ratchet_rollout_outcome", "What the evidence says: 1 advance, 0 wait, -1 roll back.", outcome)
    metrics.gauge_each(
        "ratchet_rollout_requests",
        "Answers of an arm at this step.",
        "arm",
        {CANDIDATE: lambda: requests(CANDIDATE), CHAMPION: lambda: requests(CHAMPION)},
    )
    metrics.gauge("ratchet_shadows_dropped", "Unseen answers left out under load.", lambda: controller.shadows.dropped)
