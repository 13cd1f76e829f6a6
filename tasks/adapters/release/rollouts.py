"""Rollouts and rollbacks, as the store has them.

Moves the champion pointer through the registry. The ledger is written first and decides: how a rollout ended is one
entry with a key of its own, so that of two who end it at once one wins and the other follows, and a killed process is
completed by whoever tries the same next. Caveat: gateways that share a store each decide from their own answers; the
first to decide moves the step for all.
"""

import logging
from typing import Any

from tasks.adapters.release.heartbeats import Heartbeats
from tasks.adapters.release.ledger_queries import champion_moves
from tasks.adapters.release.registry import Move, Registry, SupersededError
from tasks.adapters.release.rollout_file import RolloutFile
from tasks.adapters.system.clock import now_text
from tasks.core.digests import short
from tasks.core.errors import ConfigError
from tasks.core.release.ledger import Entry
from tasks.core.release.ledger_entries import Rollback, RolloutStep, StepName
from tasks.core.release.lineage import Pointer
from tasks.core.rollout.decision import RolloutDecision
from tasks.core.rollout.plan import DeployConfig, RolloutDocument, RolloutEnd, version_before

logger = logging.getLogger(__name__)


class Deployments:
    """How versions come to serve from one store."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._store, self._ledger = registry.store, registry.ledger
        self.heartbeats = Heartbeats(registry.store)
        self._document = RolloutFile(registry.store)

    def rollout(self) -> RolloutDocument | None:
        """Return the newest rollout, running or over, or None. Raises DataError for a damaged document."""
        return self._document.read()[1]

    def announce(
        self, candidate: str, config: DeployConfig, *, reason: str, by: str, key: str = ""
    ) -> RolloutDocument | None:
        """Let gateways bring the version to serve by the configured strategy.

        Return the rollout, or None where the champion pointer moved at once. The same `key` announces once, however
        often it is repeated. Raises ConfigError for the version that serves already.
        """
        at, pointer = now_text(), self.registry.pointer("champion")
        champion = pointer.model if pointer else None
        self.registry.manifest(candidate)
        if champion == candidate:
            raise ConfigError(f"Model {short(candidate)} is the champion already: there is nothing to roll out.")
        announced = RolloutStep(
            what="announced", strategy=config.strategy, candidate=candidate, champion=champion, reason=reason, by=by
        )
        key = f"rollout:{key or f'{candidate}:{at}'}"
        entry = self._ledger.append(announced, key, at=at)
        data, current = self._document.read()
        if config.strategy == "all_at_once":
            self._supersede(current, "another version was made the champion", by)
            self.registry.move(Move("champion", candidate, entry, at, by), expected={champion})
            return None
        if current is not None and current.entry_number >= entry.number:
            return current  # announced before, by this key or by a later one
        self._supersede(current, f"a rollout of {short(candidate)} was announced", by)
        rollout = RolloutDocument(
            id=entry.digest[:12],
            entry=entry.digest,
            entry_number=entry.number,
            strategy=config.strategy,
            candidate=candidate,
            champion=champion,
            shares=config.steps(),
            steps=[at],
            rule=config.rule,
            slow_s=config.slow_s,
            by=by,
            reason=reason,
        )
        data, current = self._document.read()
        if not self._document.put(data, rollout):
            return self.announce(candidate, config, reason=reason, by=by, key=key.removeprefix("rollout:"))
        return rollout

    def advance(self, rollout: RolloutDocument, decision: RolloutDecision, by: str) -> RolloutDocument:
        """Go to the next share, and return the rollout as it is then."""
        number, at = len(rollout.steps) + 1, now_text()
        later = rollout.model_copy(update={"steps": [*rollout.steps, at]})
        self._record(rollout, f"step:{number}", "advanced", by, share=later.share, **_evidence(decision))
        return self._document.replace(rollout, later)

    def end(
        self,
        rollout: RolloutDocument,
        state: RolloutEnd,
        reason: str,
        by: str,
        decision: RolloutDecision | None = None,
    ) -> RolloutDocument:
        """End the rollout, unless somebody has, and return it as it ended; `finished` moves the champion pointer."""
        entry, step = self._record(rollout, "end", state, by, reason=reason, **_evidence(decision))
        ended: dict[str, object] = {"state": step.what, "ending": step.reason}
        if step.what == "finished":
            try:
                move = Move("champion", rollout.candidate, entry, entry.at, by)
                self.registry.move(move, expected={rollout.champion})
            except SupersededError as error:
                ended = {"state": "superseded", "ending": str(error)}
        return self._document.replace(rollout, rollout.model_copy(update={**ended, "ended_at": entry.at}))

    def roll_back(self, to: str | None, reason: str, by: str) -> Pointer:
        """Move the champion pointer to `to`, or to what served before; return where it stands then.

        Raises ConfigError where there is nothing to go back to, SupersededError where the pointer moved meanwhile.
        """
        pointer = self.registry.pointer("champion")
        if pointer is None:
            raise ConfigError(f"The store {self._store.address} has no champion yet: there is nothing to roll back.")
        target = to or self.before(pointer)
        if target is None:
            raise ConfigError(
                f"Before {short(pointer.model)} no version served, only the base model: name one with --to VERSION."
            )
        if target == pointer.model:
            raise ConfigError(f"Model {short(target)} is the champion already: name another with --to VERSION.")
        self.registry.manifest(target)
        back = Rollback(left=pointer.model, to=target, reason=reason, by=by)
        entry = self._ledger.append(back, f"rollback:{pointer.entry}:{target}", at=now_text())
        self.registry.move(Move("champion", target, entry, now_text(), by), expected={pointer.model})
        self._supersede(self.rollout(), f"the champion was rolled back: {reason}", by)
        moved = self.registry.pointer("champion")
        assert moved is not None
        return moved

    def refuse(self, pointer: Pointer, reason: str, by: str) -> Pointer | None:
        """Undo a move whose version could not come to serve; None where before it there was only the base model."""
        back = Rollback(left=pointer.model, to=pointer.previous, reason=reason, by=by)
        entry = self._ledger.append(back, f"rollback:{pointer.entry}:{pointer.previous or 'base'}", at=now_text())
        if pointer.previous is None:
            return None
        try:
            move = Move("champion", pointer.previous, entry, now_text(), by)
            self.registry.move(move, expected={pointer.model})
        except SupersededError:
            logger.info("another version was made the champion meanwhile")
        return self.registry.pointer("champion")

    def before(self, pointer: Pointer) -> str | None:
        """Return the version that served before the champion first came to serve."""
        return version_before(champion_moves(self._ledger), pointer.model)

    def _supersede(self, rollout: RolloutDocument | None, reason: str, by: str) -> None:
        if rollout is not None and rollout.is_running:
            self.end(rollout, "superseded", reason, by)

    def _record(
        self, rollout: RolloutDocument, key: str, what: StepName, by: str, **more: Any
    ) -> tuple[Entry, RolloutStep]:
        """Return the rollout's entry with this key, written now unless somebody has, and what it says."""
        step = RolloutStep(
            what=what,
            rollout=rollout.id,
            strategy=rollout.strategy,
            candidate=rollout.candidate,
            champion=rollout.champion,
            by=by,
            **more,
        )
        entry = self._ledger.append(step, f"rollout:{rollout.id}:{key}", at=now_text())
        assert isinstance(entry.facts, RolloutStep)
        return entry, entry.facts


def _evidence(decision: RolloutDecision | None) -> dict[str, object]:
    return {} if decision is None else {"decision": decision.model_dump(mode="json")}
