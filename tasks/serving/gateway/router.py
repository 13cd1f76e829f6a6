"""The interface of a router, which chooses the model of each request, and the arms it chooses among.

A request holds the arm it was given to its end, so that a change never mixes two models in one answer; the old model is
closed when its last answer has ended. `rollout_router` is the router of a deployment.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from tasks.serving.gateway.served_model import ServedModel

ANY = "ratchet"
CHAMPION = "champion"


class Arm:
    """A running model in a role, and how many answers it is working on."""

    def __init__(self, name: str, model: ServedModel) -> None:
        self.name, self.model = name, model
        self.running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def held(self) -> Iterator["Arm"]:
        """Keep the model alive for the length of an answer."""
        self.running += 1
        self._idle.clear()
        try:
            yield self
        finally:
            self.running -= 1
            if not self.running:
                self._idle.set()

    async def retire(self) -> None:
        """Close the model when its last answer has ended. Only for an arm that no router gives out any more."""
        await self._idle.wait()
        await self.model.close()


@dataclass(frozen=True)
class Choice:
    """The arm of a request. `bucket` says which part of the traffic it was drawn with, None where nothing was drawn."""

    arm: Arm
    bucket: int | None = None


class Router(Protocol):
    """Chooses the arm of a request."""

    def arms(self) -> Sequence[Arm]:
        """Return every arm that may answer."""

    def choose(self, wanted: str, sticky: str) -> Choice | None:
        """Return the arm for the model name a client wants; None where there is none of that name.

        Requests with the same `sticky` text should come to the same arm.
        """

    async def close(self) -> None:
        """Free every model; answers that still run are lost."""
