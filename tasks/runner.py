"""Run one stage: load its config, wire its folders, write to `.part`, rename, keep the report.

Reads `configs/<group>/<stage>.yaml` and the folders the stage's `run` names; writes `data/<stage>/`. DVC, a flow and a
person at a terminal all come through `run_stage`.
"""

import errno
import importlib
import inspect
import json
import logging
import resource
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import yaml
from pydantic import ValidationError

from tasks.adapters.storage.files import write_json
from tasks.core.errors import BY_NAME, ConfigError, DataError, ExternalError, RatchetError, kind_of
from tasks.core.stage import Report, StageConfig, fault_of
from tasks.settings import Settings

logger = logging.getLogger(__name__)

Values = TypeVar("Values", bound=StageConfig)

GROUPS = ("curate", "finetune", "release", "monitor")
UNVERSIONED = ("monitor",)  # groups that read the traffic of the hour: DVC cannot know them stale nor make them again
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
TRIAL = "trial"


@dataclass(frozen=True)
class Stage:
    """A stage by name: the file `tasks/<group>/<name>.py`."""

    group: str
    name: str

    @property
    def path(self) -> str:
        return f"{self.group}.{self.name}"

    @property
    def config_file(self) -> Path:
        return Path("configs") / self.group / f"{self.name}.yaml"

    def load(self) -> ModuleType:
        """Import the stage's module: cheap, since stages import heavy adapters inside `run`."""
        return importlib.import_module(f"tasks.{self.path}")

    def inputs(self) -> list[str]:
        """Return the stages whose folders `run` reads: its positional parameters between `config` and `out`."""
        parameters = inspect.signature(self.load().run).parameters.values()
        return [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY and p.name not in ("config", "out")]

    def is_versioned(self) -> bool:
        """Return whether the stage is one of dvc.yaml."""
        return self.group not in UNVERSIONED

    def is_private(self) -> bool:
        """Return whether the folder may hold raw personal data (mode 0700, no values in error text)."""
        return bool(getattr(self.load(), "PRIVATE", False))

    def reads_raw(self) -> bool:
        """Return whether the stage sees raw personal data, so that the text of an unexpected error may quote some."""
        return self.is_private() or bool(getattr(self.load(), "READS_RAW", False))


def stages() -> list[Stage]:
    """Return every stage that has a file, by group and name."""
    root = Path(__file__).parent
    return [
        Stage(group, file.stem)
        for group in GROUPS
        for file in sorted((root / group).glob("*.py"))
        if not file.stem.startswith("_")
    ]


def find_stage(path: str) -> Stage:
    """Return the stage called `path` ("curate.dedup" or "dedup"). Raises ConfigError for an unknown one."""
    known = stages()
    for stage in known:
        if path in (stage.path, stage.name):
            return stage
    raise ConfigError(f"There is no stage {path!r}; the stages are {', '.join(s.path for s in known)}.")


def load_config(stage: Stage, overrides: Sequence[str] = (), profile: str | None = None) -> StageConfig:
    """Return the stage's config: class default < its YAML < the profile < `overrides` ("curate.dedup.bands=10").

    Raises ConfigError that names the file, the field and the value.
    """
    values = read_yaml(stage.config_file)
    if profile and profile != TRIAL:
        file = profile_file(profile)
        overlay = read_yaml(file).get(stage.path) or {}
        if not isinstance(overlay, dict):
            raise ConfigError(f"{file}: {stage.path} holds no fields; write `{stage.path}:` and fields below it.")
        values = {**values, **overlay}
    values = {**values, **_parse_overrides(stage, overrides)}
    config_class: type[StageConfig] = stage.load().Config
    try:
        return config_class.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_explain(stage, config_class, error)) from None


def load_config_as(kind: type[Values]) -> Values:
    """Return the config of the one stage whose values are a `kind`: how other code reads what it shares with a stage.

    Raises ConfigError as `load_config` does.
    """
    (stage,) = [stage for stage in stages() if issubclass(stage.load().Config, kind)]
    config = load_config(stage)
    assert isinstance(config, kind)
    return config


def profile_file(name: str) -> Path:
    """Return where a profile's values are. Raises ConfigError where there are none."""
    file = Path("configs/profiles") / f"{name}.yaml"
    if not file.exists():
        raise ConfigError(f"Profile {name!r} has no file {file}; write it or name another profile.")
    return file


def run_stage(stage: Stage, settings: Settings, overrides: Sequence[str] = (), profile: str | None = None) -> Report:
    """Run `stage` and return its report; its folder is replaced as a whole, or not at all.

    With a profile or overrides the folder lies below `data/<profile>/`, and an input that the profile has not made is
    read from the tracked `data/`. Raises RatchetError; it and the cost are also left as files below `settings.home`.
    """
    notes = settings.home / "stages" / stage.name
    notes.mkdir(parents=True, exist_ok=True)
    (notes / "error.json").unlink(missing_ok=True)
    started, cpu = time.monotonic(), _cpu_seconds()
    try:
        report = _run(stage, settings, overrides, profile or (TRIAL if overrides else None))
    except BaseException as error:
        refusal = as_ratchet_error(stage, error)
        if refusal is None:
            raise
        write_json(notes / "error.json", {"type": kind_of(refusal), "message": str(refusal)})
        raise refusal from (None if stage.reads_raw() else error)
    cost = {"wall_s": time.monotonic() - started, "cpu_s": _cpu_seconds() - cpu, "peak_bytes": _peak_bytes()}
    write_json(notes / "cost.json", cost)
    logger.info("%s took %.1f s (%.1f CPU-s)", stage.path, cost["wall_s"], cost["cpu_s"])
    return report


def read_error(stage: Stage, settings: Settings) -> RatchetError | None:
    """Return the typed error the last run of `stage` left, if it failed."""
    path = settings.home / "stages" / stage.name / "error.json"
    if not path.exists():
        return None
    note = json.loads(path.read_text())
    return BY_NAME.get(note["type"], RatchetError)(note["message"])


def as_ratchet_error(stage: Stage, error: BaseException) -> RatchetError | None:
    """Return `error` as a sentence, or None where it is a bug whose traceback is worth more.

    A bug in a private stage becomes a sentence too: its message could quote raw personal data.
    """
    if isinstance(error, RatchetError):
        return error
    if isinstance(error, (OSError, MemoryError)) and _errno(error) in DISK_FULL:
        return ExternalError(f"The disk is full while {stage.path} wrote {stage.name}: free some space and run again.")
    if isinstance(error, Exception) and stage.reads_raw():
        frame = inspect.getinnerframes(error.__traceback__)[-1] if error.__traceback__ else None
        where = f"{Path(frame.filename).name}:{frame.lineno}" if frame else "unknown place"
        return RatchetError(
            f"{stage.path} failed with {type(error).__name__} at {where}; values are not shown, they may be personal."
        )
    return None


def _run(stage: Stage, settings: Settings, overrides: Sequence[str], profile: str | None) -> Report:
    config = load_config(stage, overrides, profile)
    out = (settings.data / profile if profile else settings.data) / stage.name
    inputs = [_input_folder(name, settings, profile) for name in stage.inputs()]
    run = stage.load().run
    extra = {"settings": settings} if "settings" in inspect.signature(run).parameters else {}
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True, mode=0o700 if stage.is_private() else 0o755)
    try:
        report: Report = run(config, *inputs, part, **extra)
        write_json(part / "report.json", report.model_dump(mode="json"))
    except BaseException:
        _keep_quarantine(part, out)
        raise
    _replace(part, out)
    logger.info(
        "%s %s",
        stage.path,
        " ".join(f"{k}={v}" for k, v in report.model_dump().items() if isinstance(v, (int, float, str))),
    )
    return report


def _input_folder(name: str, settings: Settings, profile: str | None) -> Path:
    for root in ([settings.data / profile] if profile else []) + [settings.data]:
        if (root / name / "report.json").exists():
            return root / name
    raise DataError(
        f"{settings.data / name} is missing: run `ratchet stage {find_stage(name).path}` first, or `ratchet run`."
    )


def _keep_quarantine(part: Path, out: Path) -> None:
    """A refused run leaves what it wrote beside the stage's folder: nothing that was refused is lost."""
    failed = out.with_name(out.name + ".failed")
    shutil.rmtree(failed, ignore_errors=True)
    if part.exists() and any(part.iterdir()):
        part.rename(failed)
    else:
        shutil.rmtree(part, ignore_errors=True)


def _replace(part: Path, out: Path) -> None:
    old = out.with_name(out.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    part.rename(out)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(out.with_name(out.name + ".failed"), ignore_errors=True)


def read_yaml(path: Path) -> dict[str, object]:
    """Return the fields of a YAML file, none where it is absent. Raises ConfigError that names the line."""
    if not path.exists():
        return {}
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        raise ConfigError(f"{path}{f':{where.line + 1}' if where else ''} is not valid YAML: correct it.") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds a {type(values).__name__} instead of fields: write `name: value` lines.")
    return values


def _parse_overrides(stage: Stage, overrides: Sequence[str]) -> Mapping[str, object]:
    values: dict[str, object] = {}
    for override in overrides:
        key, separator, text = override.partition("=")
        path, _, field = key.rpartition(".")
        if not separator or not field or path != find_stage(path).path:
            raise ConfigError(f"--set {override!r} is not of the form group.stage.field=value.")
        if path == stage.path:
            values[field] = yaml.safe_load(text)
    return values


def _explain(stage: Stage, config_class: type[StageConfig], error: ValidationError) -> str:
    return f"{stage.path} ({stage.config_file}, profile or --set) {fault_of(error, config_class)}."


def _errno(error: BaseException) -> int | None:
    number = getattr(error, "errno", None)
    return errno.ENOSPC if number is None and "No space left" in str(error) else number


def _cpu_seconds() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in usage)


def _peak_bytes() -> int:
    return 1024 * max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
