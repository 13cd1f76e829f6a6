"""The router of a deployment: the champion, beside it a candidate or the model that served before, never a third.

While a rollout runs, requests for `ratchet` are drawn by who asks; whoever names a version, or `champion`, gets just
that, and does not count as evidence. A shadow is given to nobody.
"""

import time
from collections.abc import Sequence

from tasks.core.rollout.next_action import Loaded
from tasks.core.rollout.plan import RolloutDocument, bucket_of, is_candidates
from tasks.serving.gateway.router import ANY, CHAMPION, Arm, Choice
from tasks.serving.gateway.served_model import ServedModel

CANDIDATE, SHADOW = "candidate", "shadow"


class RolloutRouter:
    """At most two running models, and who gets which."""

    def __init__(self, model: ServedModel) -> None:
        self.champion = Arm(CHAMPION, model)
        self.candidate: Arm | None = None
        self.warm: Arm | None = None
        self.warm_since = 0.0
        self.rollout: RolloutDocument | None = None
        """The rollout that the candidate belongs to."""

    def loaded(self) -> Loaded:
        """Return what is in memory."""
        candidate, warm = (arm.model.digest if arm else None for arm in (self.candidate, self.warm))
        return Loaded(self.champion.model.digest, candidate, warm, self.rollout.id if self.rollout else None)

    def arms(self) -> Sequence[Arm]:
        """Return the champion and a candidate whose answers are shown."""
        if self.candidate is None or self.candidate.name == SHADOW:
            return (self.champion,)
        return (self.champion, self.candidate)

    def choose(self, wanted: str, sticky: str) -> Choice | None:
        """Return the arm that `sticky` belongs to, or the one that is asked for by name."""
        shown = self.arms()
        if wanted == ANY:
            if self.rollout is None or self.candidate is None:
                return Choice(self.champion)
            bucket = bucket_of(self.rollout.id, sticky)
            return Choice(shown[-1] if is_candidates(bucket, self.rollout.share) else self.champion, bucket)
        return next((Choice(arm) for arm in shown if wanted in (arm.name, arm.model.name)), None)

    def begin(self, rollout: RolloutDocument, model: ServedModel) -> None:
        """Let the candidate take its share from the next request on. There must be room for it."""
        assert self.candidate is None
        assert self.warm is None
        self.candidate = Arm(SHADOW if rollout.strategy == "shadow" else CANDIDATE, model)
        self.rollout = rollout

    def swap(self, model: ServedModel) -> None:
        """Let another model answer from the next request on, and keep the one before. There must be room for it."""
        assert self.candidate is None
        assert self.warm is None
        self._crown(Arm(CHAMPION, model))

    def promote(self) -> None:
        """Make the candidate the champion, and keep the one before."""
        assert self.candidate is not None
        arm, self.candidate, self.rollout = self.candidate, None, None
        arm.name = CHAMPION
        self._crown(arm)

    def return_to_warm(self) -> None:
        """Make the kept model the champion again, and keep the one that it follows."""
        assert self.warm is not None
        self._crown(self.warm)

    def drop_candidate(self) -> Arm | None:
        """Give the candidate to nobody any more, and return it to be retired."""
        arm, self.candidate, self.rollout = self.candidate, None, None
        return arm

    def drop_warm(self) -> Arm | None:
        """Return the kept model to be retired."""
        arm, self.warm = self.warm, None
        return arm

    async def close(self) -> None:
        """Free every model."""
        for arm in (self.champion, self.candidate, self.warm):
            if arm is not None:
                await arm.model.close()

    def _crown(self, arm: Arm) -> None:
        self.champion, self.warm = arm, self.champion
        self.warm_since = time.monotonic()
