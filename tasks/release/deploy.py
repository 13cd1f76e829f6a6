"""Announce to the store what is to serve and how, and see whether running gateways follow.

Reads `promote` (the verdict). Writes `deploy`: the report alone; into the store: a rollout, or, with the strategy
all_at_once where `promote` has not done it, the move of the champion pointer. A verdict other than PROMOTE changes
nothing. The gateway does the work and tells of it in the store; without one, what was announced waits for the next.
Every write can be repeated: one verdict announces one rollout, also after it was rolled back. Caveat: the report tells
how it stood when the stage ended; a canary goes on for hours after that, and `ratchet status` follows it.
"""

import json
import logging
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tasks.core.digests import short
from tasks.core.errors import ConfigError, DataError
from tasks.core.release.ledger_entries import Rollback
from tasks.core.rollout.plan import DeployConfig, Heartbeat, RolloutDocument, Strategy
from tasks.core.stage import Report
from tasks.settings import Settings

if TYPE_CHECKING:
    from tasks.adapters.release.rollouts import Deployments

logger = logging.getLogger(__name__)

VERDICT = "verdict.json"
POLL_S = 0.5

DeployState = Literal["nothing to deploy", "no gateway is running", "serving", "rolling out", "rolled back", "waiting"]


class Config(DeployConfig):
    wait_s: float = Field(default=120.0, ge=0)
    """How long to wait for running gateways to follow."""


class DeployReport(Report):
    state: DeployState
    strategy: Strategy
    candidate: str
    reason: str
    """Why it was rolled back, or what it waits for."""


def run(config: Config, promote: Path, out: Path, *, settings: Settings) -> DeployReport:
    from tasks.adapters.release.registry import open_registry
    from tasks.adapters.release.rollouts import Deployments

    outcome, candidate = _verdict(promote / VERDICT)
    if outcome != "PROMOTE":
        return _report(config, candidate, "nothing to deploy", f"the verdict is {outcome}")
    deployments = Deployments(open_registry(settings))
    announce(candidate, config, deployments)
    state, reason = _wait(candidate, config.wait_s, deployments)
    return _report(config, candidate, state, reason)


def announce(candidate: str, config: Config, deployments: "Deployments") -> None:
    """Make the store want the candidate, unless it does or has tried. Raises ConfigError where `promote` was faster."""
    from tasks.adapters.release import ledger_queries
    from tasks.adapters.system import provenance

    pointer, rollout = deployments.registry.pointer("champion"), deployments.rollout()
    was_tried = rollout is not None and rollout.candidate == candidate
    if pointer is not None and pointer.model == candidate:
        if config.strategy != "all_at_once" and not was_tried:
            raise ConfigError(
                f"release.deploy wants a {config.strategy} of {short(candidate)}, but `promote` made it the champion: "
                "set moves_champion: false in configs/release/promote.yaml, or strategy: all_at_once here."
            )
        return
    verdict = ledger_queries.verdict_on(deployments.registry.ledger, candidate)
    if verdict is None:
        raise DataError(f"The store has no verdict on {short(candidate)}: run `ratchet stage release.promote` again.")
    if pointer is not None and pointer.previous == candidate:
        return  # it served and was rolled back: a person may deploy it again, a repeated run must not
    by = provenance.trigger(os.environ)
    deployments.announce(candidate, config, reason="the gate promoted it", by=by, key=verdict.entry.digest)


def _wait(candidate: str, wait_s: float, deployments: "Deployments") -> tuple[DeployState, str]:
    """Return how it stands as soon as it is decided, or when time is up."""
    end = time.monotonic() + wait_s
    while True:
        state, reason = standing(
            candidate, deployments.heartbeats.alive(datetime.now(UTC)), deployments.rollout(), _champion(deployments)
        )
        if state == "rolled back":
            return state, _rollback_reason(deployments, candidate) or reason
        if state != "waiting" or time.monotonic() > end:
            return state, reason
        time.sleep(POLL_S)


def standing(
    candidate: str, gateways: list[Heartbeat], rollout: RolloutDocument | None, champion: str | None
) -> tuple[DeployState, str]:
    """Return how the candidate stands, and why."""
    mine = rollout if rollout is not None and rollout.candidate == candidate else None
    if mine is not None and mine.state in ("rolled_back", "superseded"):
        return "rolled back", mine.ending or ""
    refusal = next((beat.refused[candidate] for beat in gateways if candidate in beat.refused), None)
    if refusal is not None:
        return "rolled back", refusal
    is_rolling = mine is not None and mine.is_running
    if champion != candidate and not is_rolling:
        return "rolled back", "another version is the champion"
    if not gateways:
        return "no gateway is running", "the next one will serve it"
    if all(beat.champion == candidate for beat in gateways):
        return "serving", ""
    if is_rolling and mine is not None and all(beat.rollout == mine.id for beat in gateways):
        return "rolling out", mine.sentence()
    return "waiting", "not every gateway has followed yet"


def _rollback_reason(deployments: "Deployments", candidate: str) -> str:
    """Return why the champion pointer was last moved away from the candidate, "" where it was not moved back."""
    from tasks.adapters.release.ledger_queries import newest_first

    entries = newest_first(deployments.registry.ledger)
    moved = (back for entry in entries if isinstance(back := entry.facts, Rollback) and back.left == candidate)
    return next((back.reason for back in moved), "")


def _champion(deployments: "Deployments") -> str | None:
    pointer = deployments.registry.pointer("champion")
    return pointer.model if pointer else None


def _verdict(path: Path) -> tuple[str, str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return str(found["outcome"]), str(found["candidate"])
    except (OSError, ValueError, KeyError):
        raise DataError(f"{path} holds no verdict: run `ratchet stage release.promote` first.") from None


def _report(config: Config, candidate: str, state: DeployState, reason: str) -> DeployReport:
    logger.info("%s: %s%s", short(candidate), state, f" ({reason})" if reason else "")
    return DeployReport(state=state, strategy=config.strategy, candidate=candidate, reason=reason)
