"""What `ratchet deploy` and `ratchet rollback` do: tell the store, and wait until the running gateways follow.

The gate's word counts: all at once takes a version that it promoted, a canary or an A/B comparison one that it did not
reject; a shadow harms nobody and is open to all.
"""

import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime

from tasks.adapters.release import ledger_queries
from tasks.adapters.release.explain import resolve_version
from tasks.adapters.release.registry import open_registry
from tasks.adapters.release.rollouts import Deployments
from tasks.adapters.system import provenance
from tasks.core.digests import short
from tasks.core.errors import ConfigError
from tasks.core.rollout.plan import DeployConfig, Heartbeat, Strategy
from tasks.runner import find_stage, load_config
from tasks.settings import Settings

POLL_S = 0.2
WAIT_S = 15.0  # at the terminal; what takes longer goes on without us


def begin(settings: Settings, version: str, strategy: Strategy | None, reason: str) -> str:
    """Announce how the version is to serve, and return what came of it."""
    deployments, config = _deployments(settings), deploy_config(strategy)
    digest = resolve_version(deployments.registry, version)
    _check_verdict(deployments, digest, config.strategy)
    rollout = deployments.announce(digest, config, reason=reason, by=provenance.trigger(os.environ))
    if rollout is None:
        return f"The champion is {short(digest)}. {_followed(deployments, digest)}"
    return f"Announced: {rollout.sentence()}. {_taken_up(deployments, rollout.id)}"


def finish_rollout(settings: Settings, reason: str) -> str:
    """End the rollout that runs in favour of its candidate, and return what came of it."""
    deployments = _deployments(settings)
    rollout = deployments.rollout()
    if rollout is None or not rollout.is_running:
        raise ConfigError("No rollout runs, so there is none to finish: `ratchet deploy VERSION` begins one.")
    _check_verdict(deployments, rollout.candidate, "all_at_once")
    by = provenance.trigger(os.environ)
    ended = deployments.end(rollout, "finished", reason or "finished by hand", by)
    if ended.state != "finished":
        return ended.sentence()
    return f"The champion is {short(ended.candidate)}. {_followed(deployments, ended.candidate)}"


def roll_back(settings: Settings, to: str, reason: str) -> str:
    """End the rollout that runs, or move the champion back, and return how long it took to have an effect."""
    deployments, by, started = _deployments(settings), provenance.trigger(os.environ), time.monotonic()
    rollout = deployments.rollout()
    if not to and rollout is not None and rollout.is_running:
        ended = deployments.end(rollout, "rolled_back", reason, by)
        gone = _wait(deployments, lambda beat: beat.candidate != rollout.candidate)
        return f"{ended.sentence()}. {_follow_text(gone, time.monotonic() - started)}"
    target = resolve_version(deployments.registry, to) if to else None
    pointer = deployments.roll_back(target, reason, by)
    cold = [beat.url for beat in deployments.heartbeats.alive(datetime.now(UTC)) if not _has(beat, pointer.model)]
    note = f"It is not loaded at {', '.join(cold)}: there it serves once it is, which takes a while. " if cold else ""
    followed = _wait(deployments, lambda beat: beat.champion == pointer.model)
    return f"The champion is {short(pointer.model)}. {note}{_follow_text(followed, time.monotonic() - started)}"


def change_json(settings: Settings, sentence: str) -> str:
    """Return what a change came to for programs: the sentence, and what the store and the gateways say after it."""
    deployments = _deployments(settings)
    champion, rollout = deployments.registry.pointer("champion"), deployments.rollout()
    facts = {
        "sentence": sentence,
        "champion": champion.model if champion else None,
        "rollout": rollout.model_dump(mode="json") if rollout else None,
        "gateways": [beat.model_dump(mode="json") for beat in deployments.heartbeats.alive(datetime.now(UTC))],
    }
    return json.dumps(facts, indent=2)


def deploy_config(strategy: Strategy | None) -> DeployConfig:
    """Return the configured way to deploy, with another strategy where one is given."""
    values = load_config(find_stage("release.deploy")).model_dump(exclude={"wait_s"})
    return DeployConfig.model_validate({**values, **({"strategy": strategy} if strategy else {})})


def _deployments(settings: Settings) -> Deployments:
    return Deployments(open_registry(settings))


def _check_verdict(deployments: Deployments, digest: str, strategy: Strategy) -> None:
    found = ledger_queries.verdict_on(deployments.registry.ledger, digest)
    outcome = found.facts.verdict.outcome if found else "no verdict"
    accepted = {"all_at_once": ("PROMOTE",), "shadow": None}.get(strategy, ("PROMOTE", "INCONCLUSIVE"))
    if accepted is not None and outcome not in accepted:
        raise ConfigError(
            f"The gate says {outcome} on {short(digest)}, so it is not deployed by {strategy}: "
            "--strategy shadow compares it without showing its answers."
        )


def _followed(deployments: Deployments, digest: str) -> str:
    started = time.monotonic()
    return _follow_text(_wait(deployments, lambda beat: beat.champion == digest), time.monotonic() - started)


def _taken_up(deployments: Deployments, rollout: str) -> str:
    gateways = deployments.heartbeats.alive(datetime.now(UTC))
    if not gateways:
        return "No gateway is running; the next one takes it up."
    where = ", ".join(beat.url for beat in gateways)
    return f"{where} loads and probes it first; `ratchet status` follows rollout {rollout}."


def _wait(deployments: Deployments, is_done: Callable[[Heartbeat], bool]) -> bool | None:
    """Return whether every running gateway did it in time, None where none runs."""
    end = time.monotonic() + WAIT_S
    while True:
        gateways = deployments.heartbeats.alive(datetime.now(UTC))
        if not gateways:
            return None
        if all(map(is_done, gateways)):
            return True
        if time.monotonic() > end:
            return False
        time.sleep(POLL_S)


def _follow_text(followed: bool | None, seconds: float) -> str:
    if followed is None:
        return "No gateway is running; the next one follows."
    if followed:
        return f"Every running gateway has followed, after {seconds:.1f} s."
    return f"Not every gateway has followed within {seconds:.0f} s; `ratchet status` tells when."


def _has(beat: Heartbeat, digest: str) -> bool:
    return digest in (beat.champion, *beat.warm, beat.candidate)
