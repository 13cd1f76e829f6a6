"""Turn a stage into a Prefect task: DVC runs it in a subprocess, its log streams in, its report becomes an artifact.

Prefect decides when, DVC remembers what, the stage knows how. Only an `ExternalError` is retried.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from prefect import Task, get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from flows.runtime.report_page import report_page
from flows.runtime.run import Outcome, Run, Step
from tasks.adapters.system import dvc, provenance
from tasks.adapters.system.processes import run_supervised
from tasks.adapters.system.progress import ENVIRONMENT_VARIABLE
from tasks.core.errors import ExternalError
from tasks.runner import TRIAL, Stage, find_stage, read_error


@dataclass(frozen=True)
class Policy:
    """How often a step is tried again after an `ExternalError`, and after how many seconds."""

    retries: int
    delay_s: float = 10.0


NETWORK = Policy(retries=3, delay_s=10.0)
GPU = Policy(retries=1, delay_s=5.0)
ONCE = Policy(retries=0)


def step(name: str, policy: Policy = ONCE) -> Step:
    """Return the Prefect task that brings stage `name` up to date."""
    stage = find_stage(name)

    @task(
        name=stage.name,
        retries=policy.retries,
        retry_delay_seconds=policy.delay_s,
        retry_condition_fn=_is_worth_a_retry,
        cache_policy=NO_CACHE,
    )
    def run_step(run: Run, force: bool = False) -> Outcome:
        return bring_up_to_date(stage, run, force=force)

    return cast(Step, run_step)


def bring_up_to_date(stage: Stage, run: Run, *, force: bool) -> Outcome:
    """Run `stage` where it is stale, or always where DVC does not know it.

    Raises the stage's own error, with its sentence.
    """
    if run.is_fresh and not force:
        return Outcome.UNCHANGED
    cost_file, report_file = (
        run.settings.home / "stages" / stage.name / "cost.json",
        run.data / stage.name / "report.json",
    )
    before = _stamp(cost_file), _stamp(report_file)
    code = _execute(stage, run, force)
    if code != 0:
        raise read_error(stage, run.settings) or ExternalError(
            f"{stage.path} ended with code {code} before it could say why: read the log above, then run again."
        )
    after = _stamp(cost_file), _stamp(report_file)
    outcome = Outcome.RAN if after[0] != before[0] else Outcome.RESTORED if after[1] != before[1] else Outcome.UNCHANGED
    _publish(stage, report_file, outcome)
    return outcome


def _execute(stage: Stage, run: Run, force: bool) -> int:
    logger = get_run_logger()
    (run.settings.home / "stages" / stage.name / "error.json").unlink(missing_ok=True)
    progress_file = run.settings.home.absolute() / "stages" / stage.name / "progress.json"
    progress_file.parent.mkdir(parents=True, exist_ok=True)
    progress_file.unlink(missing_ok=True)
    show = _ProgressArtifact(stage, progress_file)

    def on_line(line: str) -> None:
        logger.info("%s", line)
        show.refresh()

    environment = {
        ENVIRONMENT_VARIABLE: str(progress_file),
        provenance.TRIGGER: run.trigger,
        "RATCHET_STORE_URL": run.settings.store_url,
    }
    if run.is_tracked and stage.is_versioned():
        return dvc.reproduce(stage.name, on_line, force=force, environment=environment)
    return run_supervised(_direct_command(stage, run), on_line, environment=environment)


def _direct_command(stage: Stage, run: Run) -> list[str]:
    """Return the command of the stage itself, always, without DVC: of an untracked run, or of a stage DVC has not."""
    command = [sys.executable, "-m", "tasks", stage.path]
    if run.folder and run.folder != TRIAL:
        command += ["--profile", run.folder]
    for override in run.overrides:
        command += ["--set", override]
    return command


class _ProgressArtifact:
    """A Prefect progress bar that follows the stage's progress file, made when there is something to show."""

    def __init__(self, stage: Stage, path: Path) -> None:
        self._stage, self._path, self._seen = stage, path, 0.0
        self._artifact: UUID | None = None

    def refresh(self) -> None:
        stamp = _stamp(self._path)
        if stamp == self._seen:
            return
        self._seen = stamp
        note = json.loads(self._path.read_text())
        percent = min(100.0, 100.0 * note["done"] / max(note["total"], 1))
        if self._artifact is None:
            self._artifact = UUID(str(create_progress_artifact(percent, key=f"{self._stage.name}-progress")))
        else:
            update_progress_artifact(self._artifact, percent, description=note["message"])


def _publish(stage: Stage, report_file: Path, outcome: Outcome) -> None:
    if report_file.exists():
        report: dict[str, Any] = json.loads(report_file.read_text())
        create_markdown_artifact(
            report_page(stage.path, outcome.value, report, report_file.parent), key=f"{stage.name}-report"
        )


def _stamp(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0


def _is_worth_a_retry(_: Task[..., Any], __: TaskRun, state: State[Any]) -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, ExternalError)
