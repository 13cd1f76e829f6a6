"""Open a run's session: hold the checkout's lock, see what is stale, and record in the ledger how the run ended.

`Request` holds the run's parameters; Prefect's UI shows them as a form. Nothing here imports Prefect, so that a run
that has nothing to do ends before Prefect is loaded.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field

from flows.runtime.run import Outcome, Run, Step
from flows.runtime.staleness import is_any_stage_stale_outside_dvc
from tasks.adapters.release.registry import open_registry
from tasks.adapters.sources.source_list import add_sources
from tasks.adapters.storage.object_store import open_store
from tasks.adapters.system import dvc, provenance
from tasks.adapters.system.checkout_lock import RUN_LOCK, Holder, hold
from tasks.core.errors import ConfigError
from tasks.core.release.ledger_entries import FlowRun
from tasks.core.sources.kinds import FeedbackRecords, Files, PackageReference, Source, describe
from tasks.runner import TRIAL, find_stage, stages
from tasks.settings import Settings, go_offline

logger = logging.getLogger(__name__)


class Request(BaseModel):
    """Parameters of a run, shown as a form by the Prefect UI."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str = Field(default="", description="Why this run: kept in the ledger.")
    profile: str | None = Field(
        default=None, description="Overlay configs/profiles/NAME.yaml and work below data/NAME."
    )
    overrides: list[str] = Field(
        default_factory=list, description="Values like curate.dedup.bands=10, for a trial run below data/trial."
    )
    wait: bool = Field(default=False, description="Wait while another run holds this checkout, instead of leaving.")
    slices: list[str] = Field(default_factory=list, description="What drifted, by name: kept in the ledger.")
    add_packages: list[str] = Field(
        default_factory=list, description="Installed packages whose documentation joins the sources, and stays."
    )
    add_paths: list[str] = Field(
        default_factory=list,
        description="Folders, globs or s3:// prefixes whose documents join the sources, and stay.",
    )
    use_feedback: bool = Field(
        default=False, description="Accepted corrections of served answers join the sources, and stay."
    )

    @property
    def folder(self) -> str | None:
        """The folder below data/ where an untracked run works; None for a tracked one."""
        return self.profile or (TRIAL if self.overrides else None)

    def wanted_sources(self, settings: Settings) -> list[Source]:
        """Return what is to join the sources of `ingest`; feedback only where somebody has given some."""
        packages = [PackageReference(kind="package_reference", packages=[name]) for name in self.add_packages]
        files = [Files(kind="files", documents=[path]) for path in self.add_paths]
        has_feedback = self.use_feedback and open_store(settings.feedback_url, settings.s3_endpoint_url).list("")
        feedback = [FeedbackRecords(kind="feedback", path=settings.feedback_url)] if has_feedback else []
        return [*packages, *files, *feedback]


@dataclass(frozen=True)
class Session:
    """A run in progress: what its steps need, and what they did so far."""

    run: Run
    dvc_status: Future[bool]
    """Whether DVC found every stage up to date when the session began."""
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def perform(self, step: Step, *, force: bool = False) -> None:
        """Bring the step's stage up to date. Once one stage ran, those after it may be stale: DVC is asked for each."""
        is_fresh = not self.has_work and self.dvc_status.result()
        self.outcomes[step.name] = step(replace(self.run, is_fresh=is_fresh), force)

    def skip_all(self) -> bool:
        """Note every stage as unchanged where none is stale, and return whether that is so."""
        if not self.run.is_tracked or is_any_stage_stale_outside_dvc(self.run) or not self.dvc_status.result():
            return False
        self.outcomes.update({stage.name: Outcome.UNCHANGED for stage in stages() if stage.is_versioned()})
        return True

    @property
    def has_work(self) -> bool:
        """Whether any stage ran or was restored."""
        return any(outcome is not Outcome.UNCHANGED for outcome in self.outcomes.values())


_active: ContextVar[Session | None] = ContextVar("active_session", default=None)


@contextmanager
def session(flow_name: str, request: Request) -> Iterator[Session]:
    """Hold the checkout for the block; a flow inside another shares the outer one's session.

    However the block ends, the ledger says so; a run that was killed is recorded by the next one.
    Raises ExternalError when another run holds the checkout and `request.wait` is false.
    """
    outer = _active.get()
    if outer is not None:
        yield outer
        return
    go_offline()
    dvc.check_repository()
    settings = _settings(request)
    why = "; ".join(part for part in (request.reason, ", ".join(request.slices)) if part)
    trigger = f"{provenance.trigger(os.environ)}{f': {why}' if why else ''}"
    holder = Holder(os.getpid(), f"ratchet {flow_name}", _now())
    with hold(settings.home / RUN_LOCK, holder, wait=request.wait) as died, ThreadPoolExecutor(1) as pool:
        dvc.remove_damaged_lock()
        entry = _LedgerEntry(settings, trigger, holder)
        if died is not None:
            entry.record_killed(died)
        _join_sources(request, settings)
        run = Run(settings, request.folder, tuple(request.overrides), trigger=trigger)
        # In a thread: `dvc status` takes seconds, in which the flows look at sources and the store.
        active = Session(run, pool.submit(lambda: run.is_tracked and dvc.is_up_to_date()))
        token = _active.set(active)
        try:
            yield active
        except BaseException as error:
            entry.record(f"failed: {type(error).__name__}", active.outcomes)
            raise
        else:
            entry.record("completed" if active.has_work else "nothing changed", active.outcomes)
        finally:
            _active.reset(token)


@dataclass(frozen=True)
class _LedgerEntry:
    """The run's own entry: who started what, and how it ended."""

    settings: Settings
    trigger: str
    holder: Holder

    def record(self, outcome: str, outcomes: Mapping[str, Outcome]) -> None:
        did = {name: value.value for name, value in outcomes.items()}
        self._append(
            FlowRun(**asdict(self.holder), checkout=self._checkout(), outcome=outcome, trigger=self.trigger, stages=did)
        )

    def record_killed(self, holder: Holder) -> None:
        logger.warning("%s of process %d was killed; going on from what it left", holder.command, holder.pid)
        self._append(FlowRun(**asdict(holder), checkout=self._checkout(), outcome="killed"))

    def _checkout(self) -> str:
        return provenance.checkout_name(self.settings.home)

    def _append(self, run: FlowRun) -> None:
        key = f"flow:{run.checkout}:{run.started_at}:{run.pid}"
        open_registry(self.settings).ledger.append(run, key, at=_now())


def _join_sources(request: Request, settings: Settings) -> None:
    """Let what the request adds join configs/curate/ingest.yaml. They stay: a model without them would forget again."""
    wanted = request.wanted_sources(settings)
    if wanted and request.folder is not None:
        raise ConfigError("Sources are added by a run without profile and overrides: it is the one whose model serves.")
    for source in add_sources(find_stage("ingest").config_file, wanted):
        logger.info("added to the sources: %s", describe(source))


def _settings(request: Request) -> Settings:
    """An untracked run has a registry of its own: it never moves the champion that serves."""
    settings = Settings()
    if request.folder is None:
        return settings
    return settings.model_copy(update={"store_url": str(settings.home / "stores" / request.folder)})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
