"""What surrounds a run: the form its parameters make, the checkout's lock, and its entry in the ledger."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field

from flows.runtime import Run
from tasks.adapters import versions
from tasks.adapters.checkout_lock import Holder, hold
from tasks.settings import Settings, go_offline

logger = logging.getLogger(__name__)

LOCK = "run.lock"
_active: ContextVar[Run | None] = ContextVar("active_run", default=None)


class Request(BaseModel):
    """Parameters of a run, shown as a form by the Prefect UI."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str = Field(default="", description="Why this run: kept in the ledger.")
    profile: str | None = Field(
        default=None, description="Overlay configs/profiles/NAME.yaml and work below data/NAME."
    )
    overrides: list[str] = Field(
        default_factory=list, description="Values like curate.dedup.bands=10, for a trial run."
    )
    wait: bool = Field(default=False, description="Wait while another run holds this checkout, instead of leaving.")


@contextmanager
def session(flow_name: str, request: Request) -> Iterator[Run]:
    """Hold the checkout for the block and yield the run; a flow inside another shares the outer one's session.

    Raises ExternalError when another run holds the checkout and `request.wait` is false.
    """
    outer = _active.get()
    if outer is not None:
        yield outer
        return
    go_offline()
    versions.check_repository()
    settings = Settings()
    holder = Holder(os.getpid(), f"ratchet {flow_name}", now())
    with hold(settings.home / LOCK, holder, wait=request.wait) as died:
        versions.heal()
        if died is not None:
            logger.warning(
                "an earlier run (%s, started %s) was killed; going on from what it left", died.command, died.started_at
            )
        run = Run(settings, request.profile, tuple(request.overrides))
        run = Run(settings, run.profile, run.overrides, is_fresh=run.is_tracked and versions.is_up_to_date())
        token = _active.set(run)
        try:
            yield run
        finally:
            _active.reset(token)


def now() -> str:
    """Return the current time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
