"""The next thing a gateway does to follow its store: what is wanted and what is loaded in, one action out. Pure."""

from collections.abc import Collection
from dataclasses import dataclass

from tasks.core.digests import short
from tasks.core.release.lineage import BASE, Pointer
from tasks.core.rollout.plan import RolloutDocument, RolloutEnd


@dataclass(frozen=True)
class Loaded:
    """What is in memory: digests of versions, and the name of the rollout that the candidate belongs to."""

    champion: str
    candidate: str | None = None
    warm: str | None = None
    """The version that served before, kept for a rollback."""
    rollout: str | None = None


@dataclass(frozen=True)
class PromoteCandidate:
    """The candidate is the champion now: it takes over at once."""


@dataclass(frozen=True)
class ReturnToWarm:
    """The version before is the champion again: it takes over at once."""


@dataclass(frozen=True)
class LoadChampion:
    """Another version is the champion: load it, and let it take over."""

    model: str
    pointer: Pointer | None


@dataclass(frozen=True)
class LoadCandidate:
    """A rollout runs whose candidate is not loaded here."""

    rollout: RolloutDocument


@dataclass(frozen=True)
class ContinueRollout:
    """A rollout runs here: count its evidence, and decide."""

    rollout: RolloutDocument


@dataclass(frozen=True)
class RolloutEnding:
    """How a rollout ended that the champion pointer has overtaken."""

    rollout: RolloutDocument
    state: RolloutEnd
    reason: str


@dataclass(frozen=True)
class ServeChampionAlone:
    """No rollout runs: drop the candidate, and close a rollout that was overtaken."""

    ending: RolloutEnding | None = None


Action = PromoteCandidate | ReturnToWarm | LoadChampion | LoadCandidate | ContinueRollout | ServeChampionAlone


def next_action(
    pointer: Pointer | None, rollout: RolloutDocument | None, loaded: Loaded, refused: Collection[str] = ()
) -> Action:
    """Return what to do next. `refused`: ledger entries of pointer moves whose version could not come to serve here."""
    wanted = pointer.model if pointer else BASE
    is_refused = pointer is not None and pointer.entry in refused
    if wanted != loaded.champion and not is_refused:
        if loaded.candidate == wanted:
            return PromoteCandidate()
        return ReturnToWarm() if loaded.warm == wanted else LoadChampion(wanted, pointer)
    if rollout is not None and rollout.is_running and rollout.champion == (pointer.model if pointer else None):
        return ContinueRollout(rollout) if loaded.rollout == rollout.id else LoadCandidate(rollout)
    return ServeChampionAlone(_ending(pointer, rollout))


def _ending(pointer: Pointer | None, rollout: RolloutDocument | None) -> RolloutEnding | None:
    if rollout is None or not rollout.is_running:
        return None
    has_won = pointer is not None and pointer.model == rollout.candidate
    reason = f"{short(pointer.model) if pointer else 'nothing'} is the champion now"
    return RolloutEnding(rollout, "finished" if has_won else "superseded", reason)
