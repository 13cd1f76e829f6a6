"""The layout's promises: a stage has one name in all its places, and DVC knows everything that decides its output."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.runner import Stage, stages

REPOSITORY = Path(__file__).parent.parent
STAGES = stages()
VERSIONED = [stage for stage in STAGES if stage.is_versioned()]
PIPELINE: dict[str, Any] = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
# What the runner's own machinery does to a stage cannot change its bytes; errors and logs are no result.
NO_RESULT = {
    "tasks/__init__.py",
    "tasks/settings.py",
    "tasks/runner.py",
    "tasks/core/errors.py",
    "tasks/core/stage.py",
    "tasks/adapters/storage/files.py",
    "tasks/adapters/system/processes.py",
    "tasks/adapters/system/progress.py",
}
# Folders of which a stage names its own file, however many of the others it needs.
ROOMS = {"tasks", "tasks/core", "tasks/adapters", *(f"tasks/{stage.group}" for stage in STAGES)}


def test_there_is_a_stage_for_each_stanza_and_a_stanza_for_each_stage() -> None:
    assert len(VERSIONED) == 12
    assert sorted(stage.name for stage in VERSIONED) == sorted(PIPELINE)


def test_stages_that_read_the_traffic_of_the_hour_are_not_dvc_s_and_say_why() -> None:
    unversioned = [stage for stage in STAGES if not stage.is_versioned()]
    assert [stage.path for stage in unversioned] == ["monitor.collect", "monitor.drift"]
    assert all("no stage of dvc.yaml" in (stage.load().__doc__ or "") for stage in unversioned)


def test_no_versioned_stage_reads_what_dvc_cannot_make_again() -> None:
    unversioned = {stage.name for stage in STAGES if not stage.is_versioned()}
    assert not [stage.path for stage in VERSIONED if unversioned & set(stage.inputs())]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.path)
def test_a_stage_has_a_yaml_that_its_config_accepts(stage: Stage) -> None:
    assert (REPOSITORY / stage.config_file).exists(), f"write {stage.config_file}"
    values = yaml.safe_load((REPOSITORY / stage.config_file).read_text()) or {}
    stage.load().Config.model_validate(values)


@pytest.mark.parametrize("stage", VERSIONED, ids=lambda stage: stage.path)
def test_the_stanza_runs_the_stage_and_tracks_its_folder_and_values(stage: Stage) -> None:
    stanza = PIPELINE[stage.name]
    assert stanza["cmd"] == f"exec python -m tasks {stage.path}"
    assert stanza["params"] == [{str(stage.config_file): None}]
    assert f"data/{stage.name}" in {name for out in stanza["outs"] for name in ([out] if isinstance(out, str) else out)}


@pytest.mark.parametrize("stage", VERSIONED, ids=lambda stage: stage.path)
def test_dvc_depends_on_what_run_reads_and_on_the_code_that_decides(stage: Stage) -> None:
    needed = needed_by(stage)
    listed = {dep for dep in PIPELINE[stage.name].get("deps", []) if not dep.startswith("configs/")}
    assert listed == needed, (
        f"dvc.yaml, stage {stage.name}: add {sorted(needed - listed)}, remove {sorted(listed - needed)}"
    )


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.path)
def test_every_value_of_a_stage_is_explained(stage: Stage) -> None:
    config = stage.load().Config
    unexplained = [name for name, field in config.model_fields.items() if not field.description]
    assert not unexplained, f"{stage.path}: write a docstring below {unexplained}"


def test_the_readme_names_every_stage() -> None:
    readme = (REPOSITORY / "README.md").read_text()
    missing = [stage.name for stage in STAGES if not re.search(rf"`{stage.name}`", readme)]
    assert not missing, f"README.md does not name {missing}"


def test_every_stage_is_a_step_of_one_flow() -> None:
    steps = re.findall(
        r'^(\w+) = step\("(\w+)"', "".join(f.read_text() for f in (REPOSITORY / "flows").glob("*.py")), re.M
    )
    assert all(variable == name for variable, name in steps)
    assert sorted(name for _, name in steps) == sorted(stage.name for stage in STAGES)


def test_every_stage_has_tests_where_a_reader_looks() -> None:
    missing = [
        path
        for stage in STAGES
        if not (REPOSITORY / (path := f"tests/tasks/{stage.group}/test_{stage.name}.py")).exists()
    ]
    assert not missing


def needed_by(stage: Stage) -> set[str]:
    """Return the folders of data and the code that `stage` needs: a folder of code where it needs each of its files."""
    code = closure(f"tasks/{stage.group}/{stage.name}.py") - NO_RESULT
    folders = {folder for file in code if (folder := str(Path(file).parent)) not in ROOMS and files_of(folder) <= code}
    rest = {file for file in code if str(Path(file).parent) not in folders}
    return {f"data/{name}" for name in stage.inputs()} | folders | rest


def files_of(folder: str) -> set[str]:
    """Return the files of a folder that decide a result: its own first line does not."""
    files = [path for path in (REPOSITORY / folder).iterdir() if path.is_file() and path.name != "__init__.py"]
    return {str(path.relative_to(REPOSITORY)) for path in files} - NO_RESULT


@cache
def closure(file: str) -> frozenset[str]:
    """Return the files of `tasks` that `file` imports, directly or not, itself included, and the pages they fill in."""
    seen: set[str] = set()
    waiting = [file]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        path = REPOSITORY / current
        waiting += _imports(path)
        seen |= {
            f"{path.parent.relative_to(REPOSITORY)}/{page.name}" for page in path.parent.glob(f"{path.stem}.html*")
        }
    return frozenset(seen)


def _imports(path: Path) -> list[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    files = [f"{name.replace('.', '/')}.py" for name in names if name.startswith("tasks.")]
    return [file for file in files if (REPOSITORY / file).exists()]
