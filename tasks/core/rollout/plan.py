"""How a new version comes to serve: the strategy, the rollout as a document, and what a gateway tells of itself.

A rollout's document changes by compare-and-swap alone and holds its rule, declared before the first request. Which
model a request goes to follows from who asks and the rollout's name, so that the same ones stay with the same model
over steps and restarts: the buckets below the share are the candidate's, and a larger share keeps them.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal, Self

from pydantic import Field, model_validator

from tasks.core.digests import short
from tasks.core.release.lineage import Fact
from tasks.core.rollout.decision import RolloutDecision, RolloutRule
from tasks.core.stage import StageConfig

Strategy = Literal["all_at_once", "shadow", "canary", "ab"]
RolloutEnd = Literal["finished", "rolled_back", "superseded"]
RolloutState = Literal["running"] | RolloutEnd
BUCKETS = 10_000
STALE_AFTER = timedelta(seconds=20)  # a gateway that has said nothing for so long does not run


class DeployConfig(StageConfig):
    """How a promoted version comes to serve."""

    strategy: Strategy = "all_at_once"
    """all_at_once: the champion pointer moves and gateways follow; shadow: the candidate answers too, unseen;
    canary: its share grows by evidence; ab: its share is fixed. The last three need `moves_champion: false` of
    release.promote."""
    shares: list[float] = Field(default=[0.01, 0.1, 0.5, 1.0], min_length=1)
    """Of the assignment units (a request's `user`, else its key), one a step of a canary."""
    ab_share: float = Field(default=0.5, gt=0, lt=1)
    """Of the assignment units, that the candidate answers in an A/B comparison."""
    slow_s: float = Field(default=10.0, gt=0)
    """An answer that takes longer counts as slow."""
    rule: RolloutRule = RolloutRule()
    """When a canary's share grows, and when it is rolled back."""

    @model_validator(mode="after")
    def _shares_grow(self) -> Self:
        steps = [0.0, *self.shares]
        if any(before >= after for before, after in pairwise(steps)) or self.shares[-1] != 1:
            raise ValueError(f"shares must grow from above 0 to 1, and are {self.shares}: correct them")
        return self

    def steps(self) -> list[float]:
        """Return the share of assignment units that are shown the candidate's answers, step by step."""
        return {"canary": self.shares, "ab": [self.ab_share], "shadow": [0.0]}.get(self.strategy, [1.0])


class RolloutDocument(Fact):
    """A rollout, running or over. `entry` is the ledger entry that announced it."""

    id: str
    entry: str
    entry_number: int
    strategy: Strategy
    candidate: str
    champion: str | None
    """What it is compared with; None: the base model."""
    shares: list[float]
    steps: list[str]
    """When each step so far began, ISO 8601; the last one is the present one."""
    rule: RolloutRule
    slow_s: float
    by: str
    reason: str
    state: RolloutState = "running"
    ended_at: str | None = None
    ending: str | None = None
    """Why it ended, in words."""

    @property
    def share(self) -> float:
        return self.shares[len(self.steps) - 1]

    @property
    def is_running(self) -> bool:
        return self.state == "running"

    @property
    def is_last_step(self) -> bool:
        return len(self.steps) == len(self.shares)

    def sentence(self) -> str:
        """Return how it stands, for people."""
        what = f"{self.strategy} of {short(self.candidate)} against {short(self.champion) if self.champion else 'base'}"
        if not self.is_running:
            return f"{what}: {self.state.replace('_', ' ')} at {self.ended_at} ({self.ending})"
        shown = "unseen" if self.strategy == "shadow" else f"at {100 * self.share:g} % of the askers"
        return f"{what}, {shown}, since {self.steps[-1]}"


class Heartbeat(Fact):
    """What a running gateway tells of itself; it is believed for `STALE_AFTER`."""

    gateway: str
    url: str
    at: str
    champion: str
    """Digest of the version whose answers are shown, or "base"."""
    candidate: str | None = None
    warm: list[str] = Field(default_factory=list)
    """Versions that could be served at once."""
    change: str = ""
    """What it is busy with, in words."""
    refused: dict[str, str] = Field(default_factory=dict)
    """Versions that did not come to serve here, with the reason."""
    rollout: str | None = None
    decision: RolloutDecision | None = None
    is_over: bool = False
    """It was stopped in order."""

    def is_alive(self, now: datetime) -> bool:
        return not self.is_over and now - datetime.fromisoformat(self.at) < STALE_AFTER


def bucket_of(rollout: str, unit: str) -> int:
    """Return which of `BUCKETS` parts of the traffic somebody belongs to: many share one, so it tells nobody apart."""
    digest = hashlib.sha256(f"{rollout}\0{unit}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8]) % BUCKETS


def is_candidates(bucket: int, share: float) -> bool:
    """Return whether the candidate answers this part of the traffic at this share."""
    return bucket < share * BUCKETS


def version_before(moves: Iterable[tuple[str, str | None, bool]], current: str) -> str | None:
    """Return what served before `current` first came to serve, from moves newest first: (to, from, is a rollback).

    A move back is passed over, or the second rollback in a row would bring back what the first one took away.
    """
    for model, previous, is_rollback in moves:
        if model == current and not is_rollback:
            return previous
    return None
