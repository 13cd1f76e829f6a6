"""The runner: config layers, wiring of folders, whole-or-nothing outputs, errors as sentences."""

import errno
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tasks import runner
from tasks.core.errors import ConfigError, DataError, ExternalError, RatchetError
from tasks.core.privacy.redaction_config import RedactionConfig
from tasks.core.stage import Report, StageConfig
from tasks.runner import Stage, find_stage, load_config, load_config_as, read_error, run_stage, stages
from tasks.settings import Settings

STAGE = Stage("curate", "toy")


class Config(StageConfig):
    bands: int = 14
    """Number of bands."""
    name: str = "default"
    """Any word."""

    RENAMED = {"stripes": "bands"}  # noqa: RUF012 (declared as a ClassVar by StageConfig)


class ToyReport(Report):
    kept: int


def write_stage(monkeypatch: pytest.MonkeyPatch, run: Callable[..., Report], **attributes: object) -> None:
    module = ModuleType("tasks.curate.toy")
    vars(module).update(Config=Config, run=run, **attributes)
    monkeypatch.setitem(sys.modules, "tasks.curate.toy", module)
    monkeypatch.setattr(runner, "stages", lambda: [STAGE, Stage("curate", "clean")])


def keep_one(config: Config, clean: Path, out: Path) -> ToyReport:
    (out / "value.txt").write_text(f"{config.bands} {(clean / 'input.txt').read_text()}")
    return ToyReport(kept=1)


@pytest.fixture
def clean_folder(workdir: Path) -> Path:
    folder = workdir / "data" / "clean"
    folder.mkdir(parents=True)
    (folder / "report.json").write_text("{}")
    (folder / "input.txt").write_text("tracked")
    return folder


def write_yaml(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_an_old_name_of_a_field_is_refused_by_a_sentence_that_names_the_new_one(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stage(monkeypatch, keep_one)
    write_yaml(STAGE.config_file, "stripes: 3\n")
    with pytest.raises(ConfigError, match=r"curate.toy .*stripes is now called bands: rename it\.$"):
        load_config(STAGE)


def test_values_that_a_stage_shares_are_read_by_their_type(workdir: Path) -> None:
    write_yaml(Path("configs/curate/redact.yaml"), "extra_patterns: {STAFF_ID: 'E-[0-9]{6}'}\nner_sources: []\n")
    assert load_config_as(RedactionConfig).extra_patterns == {"STAFF_ID": "E-[0-9]{6}"}
    write_yaml(Path("configs/curate/redact.yaml"), "extra_patterns: {STAFF_ID: '['}\n")
    with pytest.raises(ConfigError, match=r"curate\.redact .*pattern of STAFF_ID is no regular expression"):
        load_config_as(RedactionConfig)


def test_every_stage_is_found_by_its_path_and_by_its_name() -> None:
    assert stages()
    for stage in stages():
        assert find_stage(stage.path) == find_stage(stage.name) == stage


def test_an_unknown_stage_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no stage 'curate\.dedupe'"):
        find_stage("curate.dedupe")


def test_a_value_comes_from_the_class_then_the_yaml_then_the_profile_then_set(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stage(monkeypatch, keep_one)
    assert load_config(STAGE) == Config()
    write_yaml(workdir / "configs/curate/toy.yaml", "bands: 3\nname: yaml\n")
    assert load_config(STAGE) == Config(bands=3, name="yaml")
    write_yaml(workdir / "configs/profiles/smoke.yaml", "curate.toy:\n  bands: 4\n")
    assert load_config(STAGE, profile="smoke") == Config(bands=4, name="yaml")
    assert load_config(STAGE, ["curate.toy.bands=5", "curate.clean.x=1"], "smoke") == Config(bands=5, name="yaml")


@pytest.mark.parametrize(
    ("yaml", "overrides", "profile", "sentence"),
    [
        ("bandz: 3", [], None, r"configs/curate/toy\.yaml.*has no field 'bandz'; its fields are bands, name"),
        ("bands: many", [], None, r"field 'bands' has the value 'many'"),
        ("bands: [", [], None, r"toy\.yaml:\d+ is not valid YAML"),
        ("- 3", [], None, r"holds a list instead of fields"),
        ("", ["curate.toy.bandz=3"], None, r"no field 'bandz'"),
        ("", ["bands"], None, r"--set 'bands' is not of the form"),
        ("", [], "smokey", r"Profile 'smokey' has no file"),
    ],
)
def test_a_wrong_value_is_refused_in_one_sentence_that_names_it(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, yaml: str, overrides: list[str], profile: str | None, sentence: str
) -> None:
    write_stage(monkeypatch, keep_one)
    write_yaml(workdir / "configs/curate/toy.yaml", yaml)
    with pytest.raises(ConfigError, match=sentence) as caught:
        load_config(STAGE, overrides, profile)
    assert "\n" not in str(caught.value)


def test_a_stage_reads_the_folder_its_parameter_names_and_its_own_is_replaced_whole(
    clean_folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stage(monkeypatch, keep_one)
    old = settings.data / "toy"
    old.mkdir()
    (old / "leftover.txt").write_text("old")
    report = run_stage(STAGE, settings)
    assert report == ToyReport(kept=1)
    assert sorted(path.name for path in old.iterdir()) == ["report.json", "value.txt"]
    assert (old / "value.txt").read_text() == "14 tracked"
    assert json.loads((settings.home / "stages/toy/cost.json").read_text())["wall_s"] >= 0


def test_a_trial_run_never_touches_the_tracked_folder(
    clean_folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stage(monkeypatch, keep_one)
    run_stage(STAGE, settings, ["curate.toy.bands=2"])
    assert not (settings.data / "toy").exists()
    assert (settings.data / "trial/toy/value.txt").read_text() == "2 tracked"


def test_a_missing_input_names_the_stage_to_run(
    workdir: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stage(monkeypatch, keep_one)
    with pytest.raises(DataError, match=r"run `ratchet stage curate\.clean` first"):
        run_stage(STAGE, settings)


def test_what_a_refused_run_wrote_is_kept_and_the_old_output_stays(
    clean_folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(config: Config, clean: Path, out: Path) -> ToyReport:
        (out / "quarantine.jsonl").write_text("{}\n")
        raise DataError("Too many rows are bad: read data/toy.failed/quarantine.jsonl.")

    write_stage(monkeypatch, keep_one)
    run_stage(STAGE, settings)
    write_stage(monkeypatch, refuse)
    with pytest.raises(DataError):
        run_stage(STAGE, settings)
    assert (settings.data / "toy.failed/quarantine.jsonl").exists()
    assert (settings.data / "toy/value.txt").exists()
    error = read_error(STAGE, settings)
    assert isinstance(error, DataError)
    assert "quarantine.jsonl" in str(error)
    write_stage(monkeypatch, keep_one)
    run_stage(STAGE, settings)
    assert read_error(STAGE, settings) is None
    assert not (settings.data / "toy.failed").exists()


def test_an_error_of_a_narrower_kind_keeps_its_exit_code(
    clean_folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class LostRaceError(ExternalError):
        pass

    def lose(config: Config, clean: Path, out: Path) -> ToyReport:
        raise LostRaceError("Another run was first.")

    write_stage(monkeypatch, lose)
    with pytest.raises(LostRaceError):
        run_stage(STAGE, settings)
    error = read_error(STAGE, settings)
    assert type(error) is ExternalError
    assert error.exit_code == 4


def test_a_private_stage_shows_no_value_of_an_unexpected_error(
    clean_folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(config: Config, clean: Path, out: Path) -> ToyReport:
        raise ValueError("jane.doe@corp.test")

    write_stage(monkeypatch, fail, PRIVATE=True)
    with pytest.raises(RatchetError, match=r"ValueError at test_runner\.py:\d+") as caught:
        run_stage(STAGE, settings)
    assert "jane" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_bug_in_another_stage_keeps_its_traceback(
    clean_folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(config: Config, clean: Path, out: Path) -> ToyReport:
        raise ValueError("a bug")

    write_stage(monkeypatch, fail)
    with pytest.raises(ValueError, match="a bug"):
        run_stage(STAGE, settings)


def test_a_full_disk_is_worth_another_try(
    clean_folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(config: Config, clean: Path, out: Path) -> ToyReport:
        raise OSError(errno.ENOSPC, "No space left on device")

    write_stage(monkeypatch, fill)
    with pytest.raises(ExternalError, match="The disk is full"):
        run_stage(STAGE, settings)


def test_a_private_folder_is_readable_by_its_owner_alone(
    clean_folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stage(monkeypatch, keep_one, PRIVATE=True)
    run_stage(STAGE, settings)
    assert (settings.data / "toy").stat().st_mode & 0o777 == 0o700
