"""Explain a model version from the store alone: no checkout, no data folder, no network beyond the store."""

from collections.abc import Iterator

from tasks.adapters.release import ledger_queries
from tasks.adapters.release.registry import Registry
from tasks.adapters.storage.object_store import Store
from tasks.core.errors import ConfigError, DataError
from tasks.core.release.explanation import Chain, explain_chain
from tasks.core.release.ledger_entries import Rollback, RolloutStep
from tasks.core.release.lineage import POINTERS, VerdictFacts

MIN_DIGEST = 4


def explain(store: Store, reference: str) -> str:
    """Return the chain from a version back to its documents; `reference` is a pointer, a digest, or the start of one.

    Raises ConfigError for a reference that means no version or several.
    """
    registry = Registry(store)
    model = resolve_version(registry, reference)
    recorded = _verdict(registry, reference, model)
    run = (
        ledger_queries.run_behind(registry.ledger, recorded.facts)
        if recorded
        else ledger_queries.run_of(registry.ledger, model)
    )
    pointers = [pointer for name in POINTERS if (pointer := registry.pointer(name)) and pointer.model == model]
    return explain_chain(
        Chain(
            model=model,
            manifest=registry.manifest(model),
            pointers=pointers,
            verdict=recorded.facts if recorded else None,
            verdict_number=recorded.entry.number if recorded else None,
            verdict_at=recorded.entry.at if recorded else None,
            run=run,
            deployed=list(reversed([*_deployed(registry, model)])),
            ledger=_ledger_state(registry),
        )
    )


def resolve_version(registry: Registry, reference: str) -> str:
    """Return the digest that a pointer's name, a digest, or the start of one means. Raises ConfigError."""
    for name in POINTERS:
        if reference == name:
            pointer = registry.pointer(name)
            if pointer is None:
                raise ConfigError(f"There is no {name} in {registry.store.address} yet: `ratchet run` makes one.")
            return pointer.model
    found = [digest for digest in registry.models() if len(reference) >= MIN_DIGEST and digest.startswith(reference)]
    if len(found) != 1:
        problem = f"means {len(found)} models" if found else "means no model"
        raise ConfigError(
            f"{reference!r} {problem} of {registry.store.address}: write champion, candidate, or more of a digest."
        )
    return found[0]


def _verdict(registry: Registry, reference: str, model: str) -> ledger_queries.Recorded | None:
    """Return the verdict that made a champion the champion, of any other version the newest."""
    pointer = registry.pointer("champion")
    if reference == "champion" and pointer is not None:
        entry = registry.ledger.read(pointer.entry_number)
        if isinstance(entry.facts, VerdictFacts) and entry.digest == pointer.entry:
            return ledger_queries.Recorded(entry, entry.facts)
    return ledger_queries.verdict_on(registry.ledger, model)


def _deployed(registry: Registry, model: str) -> Iterator[str]:
    """Yield the rollouts and rollbacks that were about the version, newest first."""
    for entry in ledger_queries.newest_first(registry.ledger):
        match entry.facts:
            case RolloutStep(candidate=candidate) as step if candidate == model:
                share = f" to {100 * step.share:g} %" if step.share is not None else ""
                what = f"{step.strategy} {step.what.replace('_', ' ')}{share}"
            case Rollback() as back if model in (back.left, back.to):
                what = "rolled back" if back.left == model else "brought back"
            case _:
                continue
        reason = f": {entry.facts.reason}" if entry.facts.reason else ""
        yield f"{entry.at} {what}{reason} (ledger entry {entry.number})"


def _ledger_state(registry: Registry) -> str:
    try:
        registry.verify()
        return "whole: each entry follows from the one before"
    except DataError as error:
        return f"BROKEN: {error}"
