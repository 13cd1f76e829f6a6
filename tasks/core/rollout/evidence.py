"""A rollout's evidence, from the records of its answers: as they come, and again from all of them after a restart.

Each answer counts at the step in which it ended, under the bucket of who asked; answers to a model that was asked for
by name have no bucket and do not count. An unseen answer is compared with the shown one it belongs to, and a shown one
without it does not count: shadows are dropped under load, and load would pass for a worse champion. Feedback comes
later than its answer, so evidence is then counted anew from what was observed. Caveat: that keeps some hundred bytes
an answer for the length of the rollout.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tasks.core.records.answer import AnswerRecord
from tasks.core.rollout.decision import ArmName, Rollout, RolloutDecision
from tasks.core.rollout.plan import RolloutDocument
from tasks.core.rollout.signals import Signals, signals_of, with_opinion

ARMS: Mapping[str, ArmName] = {"champion": "champion", "candidate": "candidate", "shadow": "candidate"}
UNPAIRED = 5000  # shown answers that may wait for their shadow


@dataclass(frozen=True)
class Seen:
    """One answer that counts, as small as it can be kept."""

    answer_id: str
    at: datetime
    arm: ArmName
    bucket: int
    signals: Signals


class RolloutEvidence:
    """The evidence of one rollout up to now."""

    def __init__(self, rollout: RolloutDocument) -> None:
        self.rollout = rollout
        self._steps = [datetime.fromisoformat(step) for step in rollout.steps]
        self._seen: list[Seen] = []
        self._unpaired: dict[str, AnswerRecord] = {}
        self._opinions: Mapping[str, float] = {}
        self._count = Rollout.start(rollout.rule)

    @classmethod
    def rebuilt(
        cls, rollout: RolloutDocument, records: Iterable[AnswerRecord], opinions: Mapping[str, float] | None = None
    ) -> "RolloutEvidence":
        """Return the evidence that the records of the rollout's time hold."""
        evidence = cls(rollout)
        evidence._opinions = opinions or {}
        for record in records:
            evidence._keep(record)
        evidence._recount()
        return evidence

    @property
    def requests(self) -> Mapping[ArmName, int]:
        """Answers of each arm at this step."""
        return dict(self._count.served)

    def observe(self, record: AnswerRecord) -> None:
        """Count an answer of this rollout; others are passed over."""
        for seen in self._keep(record):
            if seen.at < self._steps[-1]:  # it ended before the step that has been taken meanwhile
                self._recount()
            else:
                self._add(self._count, seen)

    def next_step(self, rollout: RolloutDocument) -> None:
        """Go on with the same rollout at its next share."""
        self.rollout = rollout
        self._steps = [datetime.fromisoformat(step) for step in rollout.steps]
        self._recount()  # answers that ended since the step was taken belong to it

    def hear(self, opinions: Mapping[str, float]) -> bool:
        """Take in all that was said so far; return whether it says anything new about these answers."""
        ids = {seen.answer_id for seen in self._seen}
        known = {id_: value for id_, value in opinions.items() if id_ in ids}
        if known == self._opinions:
            return False
        self._opinions = known
        self._recount()
        return True

    def decide(self) -> RolloutDecision:
        return self._count.decide()

    def _keep(self, record: AnswerRecord) -> Sequence[Seen]:
        is_ours = record.arm in ARMS and record.bucket is not None
        if not is_ours or record.model not in (self.rollout.candidate, self.rollout.champion or "base"):
            return ()
        if self.rollout.strategy != "shadow":
            return self._take(record)
        if record.shadow_of is None:
            self._unpaired[record.answer_id] = record
            if len(self._unpaired) > UNPAIRED:
                del self._unpaired[next(iter(self._unpaired))]
            return ()
        shown = self._unpaired.pop(record.shadow_of, None)
        return () if shown is None else [*self._take(shown), *self._take(record)]

    def _take(self, record: AnswerRecord) -> Sequence[Seen]:
        signals = signals_of(record, self.rollout.slow_s)
        if signals is None or record.bucket is None:
            return ()
        at = datetime.fromisoformat(record.at)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        seen = Seen(record.answer_id, at, ARMS[record.arm], record.bucket, signals)
        self._seen.append(seen)
        return (seen,)

    def _add(self, count: Rollout, seen: Seen) -> None:
        count.observe(seen.arm, with_opinion(seen.signals, self._opinions.get(seen.answer_id)), str(seen.bucket))

    def _recount(self) -> None:
        count, step = Rollout.start(self.rollout.rule), 1
        for seen in sorted(self._seen, key=lambda seen: seen.at):
            while step < max(1, bisect_right(self._steps, seen.at)):
                count, step = count.next_step(), step + 1
            self._add(count, seen)
        for _ in range(step, len(self._steps)):
            count = count.next_step()
        self._count = count
