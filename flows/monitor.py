"""Monitor: collect -> drift, then what a person sees in Prefect, and the event that starts a retrain.

It works beside a running retrain: it takes a lock of its own, reads records and the store, and touches nothing that DVC
tracks.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from prefect import flow
from prefect.artifacts import create_link_artifact, create_table_artifact
from pydantic import BaseModel, ConfigDict, Field

from flows.announcements import announce_changes
from flows.events import announce_window
from flows.runtime.run import Run
from flows.runtime.steps import NETWORK, step
from tasks.adapters.monitoring.window_log import WindowLog
from tasks.adapters.release.registry import open_registry
from tasks.adapters.storage.json_files import read_object
from tasks.adapters.system.checkout_lock import MONITOR_LOCK, Holder, hold
from tasks.core.digests import short
from tasks.core.errors import ConfigError
from tasks.core.monitoring.window_verdict import WindowVerdict
from tasks.runner import TRIAL
from tasks.settings import Settings, go_offline

collect = step("collect", NETWORK)
drift = step("drift", NETWORK)


class Look(BaseModel):
    """Parameters of a look at the traffic, shown as a form by the Prefect UI. Nothing given: the next window."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str | None = Field(default=None, description="Version to look at; empty: the one that serves.")
    since: datetime | None = Field(default=None, description="Look at given times, below data/trial, and keep nothing.")
    until: datetime | None = Field(default=None, description="End of these times; empty: now.")

    def overrides(self) -> tuple[str, ...]:
        """Return the values as a stage takes them."""
        given = self.model_dump(mode="json", exclude_none=True)
        return tuple(f"monitor.collect.{name}='{value}'" for name, value in given.items())


@flow(name="monitor")
def monitor(look: Look = Look()) -> list[str]:  # noqa: B008 (frozen)
    """Look at the window since the last one, say what drifted, and start what follows from it."""
    if look.model is not None and look.since is None:
        raise ConfigError("A look at one version needs times: give `since` too, or leave `model` empty.")
    with _monitor_run(look) as run:
        told = announce_changes(run.settings) if run.is_tracked else []
        collect(run)
        drift(run)
        verdict = read_window_verdict(run.data)
        link = report_address(run, verdict)
        _publish(verdict, link)
        if verdict.number is not None:
            told += announce_window(verdict, link, run.settings)
    return [*verdict.lines(), f"report  {link}", *(f"event   {name}" for name in told)]


def read_window_verdict(data: Path) -> WindowVerdict:
    """Return the verdict that `drift` has left."""
    facts = read_object(data / "drift" / "verdict.json")
    return WindowVerdict.model_validate({name: facts[name] for name in WindowVerdict.model_fields})


@contextmanager
def _monitor_run(look: Look) -> Iterator[Run]:
    """Hold the monitor's lock for the block, once another monitor of this checkout has let go of it."""
    go_offline()
    settings, overrides = Settings(), look.overrides()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with hold(settings.home / MONITOR_LOCK, Holder(os.getpid(), "ratchet monitor", now), wait=True):
        yield Run(settings, TRIAL if overrides else None, overrides)


def report_address(run: Run, verdict: WindowVerdict) -> str:
    """Return where the page stays: in the store, or where a look without consequence left it."""
    if verdict.number is None:
        return (run.data / "drift" / "report.html").absolute().as_uri()
    store = open_registry(run.settings).store
    return WindowLog(store, verdict.model).page_address(verdict.number)


def _publish(verdict: WindowVerdict, link: str) -> None:
    table = [
        {
            "measure": found.column,
            "aspect": found.aspect,
            "state": found.state,
            "effect": found.effect,
            "p": found.p,
            "what": found.sentence,
        }
        for found in verdict.drift.findings
    ]
    title = f"{verdict.drift.outcome}: {verdict.drift.headline}"
    if table:
        create_table_artifact(table, key="drift-columns", description=title)
    parts = [
        {"part": part.cluster.name, "answers": part.cluster.size, "do": part.recommendation} for part in verdict.parts
    ]
    if parts:
        create_table_artifact(parts, key="drift-parts", description="What drifted, and what would help")
    create_link_artifact(link, link_text=f"Drift report of {short(verdict.model)}", key="drift-page", description=title)
