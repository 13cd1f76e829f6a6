"""Chapter 5: the gateway brings the candidate to serve by a canary, while people ask."""

from datetime import UTC, datetime

from flows.demo.telling import LOOK_S, Telling
from flows.demo.waiting import TurnedOutOtherwiseError, at_most_every, wait_until
from tasks.adapters.release.rollouts import Deployments
from tasks.core.digests import short

MAX_ANSWERS = 3000


def tell(telling: Telling, candidate: str, champion: str, questions: list[str]) -> None:
    """Raises TurnedOutOtherwiseError where the canary does not end with the candidate as champion."""
    with telling.chapter("The canary") as chapter:
        deployments, steps = Deployments(telling.sandbox.registry()), list[str]()
        logs = telling.sandbox.logs

        def is_over() -> bool:
            rollout = deployments.rollout()
            assert rollout is not None
            if rollout.sentence() not in steps:
                steps.append(rollout.sentence())
                chapter.add(steps[-1])
            return not rollout.is_running

        wait_until(lambda: _is_taken_up(deployments, candidate), "The gateway took up the canary", LOOK_S, logs)
        telling.traffic.counts.clear()
        asked = telling.rng.choices(questions, k=MAX_ANSWERS)
        counted = telling.traffic.ask(asked, lambda: None, until=at_most_every(1.0, is_over))
        wait_until(is_over, "The canary came to an end", LOOK_S, logs)
        shares = ", ".join(f"{name}: {count}" for name, count in sorted(telling.traffic.counts.items()))
        chapter.add(f"{counted} answers ({shares}).")
        if telling.champion() != candidate:
            raise TurnedOutOtherwiseError(f"The canary did not end with {short(candidate)}: {steps[-1]}")
        chapter.add(f"{short(candidate)} is the champion, and {short(champion)} stays loaded for a while.")


def _is_taken_up(deployments: Deployments, candidate: str) -> bool:
    rollout = deployments.rollout()
    if rollout is not None and not rollout.is_running:
        raise TurnedOutOtherwiseError(f"The canary ended before it began: {rollout.sentence()}")
    return any(beat.candidate == candidate for beat in deployments.heartbeats.alive(datetime.now(UTC)))
