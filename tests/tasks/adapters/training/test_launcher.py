"""When the launcher counts a training as done, and what it reports; real launches are in test_trainer.py."""

import json
import logging
import sys
from pathlib import Path

import pytest

from tasks.adapters.training import launcher
from tasks.adapters.training.training_plan import (
    LoraShape,
    TrainingPlan,
    prune_plans,
    read_packs,
    read_plan,
    write_plan,
)
from tasks.core.errors import DataError, ExternalError
from tasks.core.training.packing import TokenisedExample, grow_trees, pack_trees

PACKS = pack_trees(grow_trees([TokenisedExample(str(i), (1, 2, 3, i), 2) for i in range(9)], 4), 4)


def plan(**changes: object) -> TrainingPlan:
    values: dict[str, object] = {
        "base_id": "tiny",
        "base_digest": "b",
        "prompt_digest": "p",
        "lora": LoraShape(r=4, alpha=8, dropout=0.0, target_modules="all-linear"),
        "learning_rate": 1e-3,
        "warmup": 0.1,
        "weight_decay": 0.0,
        "packs_per_step": 2,
        "epochs": 1,
        "seed": 0,
        "processes": 2,
        "zero_stage": 0,
        "dtype": "float32",
        "attention": "sdpa",
        "base_folder": Path("base"),
        "checkpoint_every": 4,
        "threads": 4,
        "on_gpu": False,
    }
    return TrainingPlan.model_validate({**values, **changes})


def script(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let the launcher start a small script in place of ranks."""
    monkeypatch.setattr(launcher, "_command", lambda folder, *_: [sys.executable, "-c", code, str(folder)])


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder, written = write_plan(plan(), PACKS, tmp_path)
    assert read_plan(folder) == written
    assert read_packs(folder) == PACKS
    assert folder == write_plan(plan(), PACKS, tmp_path)[0]


@pytest.mark.parametrize("change", [{"seed": 1}, {"processes": 1}, {"base_digest": "x"}, {"prompt_digest": "x"}])
def test_what_decides_the_adapter_changes_the_folder(change: dict[str, object], tmp_path: Path) -> None:
    assert write_plan(plan(**change), PACKS, tmp_path)[0] != write_plan(plan(), PACKS, tmp_path)[0]
    assert write_plan(plan(), PACKS[1:], tmp_path)[0] != write_plan(plan(), PACKS, tmp_path)[0]


def test_where_and_how_often_does_not(tmp_path: Path) -> None:
    moved = plan(base_folder=Path("elsewhere"), checkpoint_every=1, threads=8)
    assert moved.digest() == plan().digest()


def test_only_the_trainings_touched_last_are_kept(tmp_path: Path) -> None:
    folders = [write_plan(plan(seed=seed), PACKS, tmp_path)[0] for seed in range(5)]
    prune_plans(tmp_path, keep=3)
    assert [folder.exists() for folder in folders] == [False, False, True, True, True]


def test_return_code_zero_without_a_result_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = write_plan(plan(), PACKS, tmp_path)
    script(monkeypatch, "print('all is well')")
    with pytest.raises(ExternalError, match="code 0"):
        launcher.train(folder, launcher="torchrun")
    assert "all is well" in (folder / launcher.OUTPUT).read_text()


def test_a_result_is_believed_although_the_launcher_aborts_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder, _ = write_plan(plan(), PACKS, tmp_path)
    code = """
import json, os, pathlib, sys
from tasks.adapters.models.gguf_export import adapter_digest
folder = pathlib.Path(sys.argv[1]); (folder / "adapter").mkdir()
for name in ("adapter_config.json", "adapter_model.safetensors"):
    (folder / "adapter" / name).write_text("{}")
result = {"step": 1, "loss": 0.5, "adapter_digest": adapter_digest(folder / "adapter"), "history": []}
(folder / "result.json").write_text(json.dumps(result)); os.abort()
"""
    script(monkeypatch, code)
    assert launcher.train(folder, launcher="torchrun").loss == 0.5
    assert "after the adapter was saved" in caplog.text


def test_a_result_whose_adapter_is_another_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = write_plan(plan(), PACKS, tmp_path)
    (folder / "adapter").mkdir()
    (folder / "result.json").write_text('{"step": 1, "loss": 0.5, "adapter_digest": "other", "history": []}')
    script(monkeypatch, "pass")
    with pytest.raises(ExternalError):
        launcher.train(folder, launcher="torchrun")


def test_a_refusal_of_a_rank_reaches_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = write_plan(plan(), PACKS, tmp_path)
    note = json.dumps({"type": "DataError", "message": "The loss is nan."})
    script(
        monkeypatch,
        f"import pathlib, sys; (pathlib.Path(sys.argv[1]) / 'refusal.json').write_text({note!r}); sys.exit(3)",
    )
    with pytest.raises(DataError, match="The loss is nan"):
        launcher.train(folder, launcher="torchrun")


def test_half_a_checkpoint_is_swept_away_before_the_ranks_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = write_plan(plan(), PACKS, tmp_path)
    for step in (4, 8, 12):
        (folder / f"checkpoint-{step}").mkdir()
    (folder / "checkpoint-8" / "COMPLETE").touch()
    script(monkeypatch, "pass")
    with pytest.raises(ExternalError):
        launcher.train(folder, launcher="torchrun")
    assert [path.name for path in folder.glob("checkpoint-*")] == ["checkpoint-8"]


def test_steps_become_progress_with_loss_rate_and_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    note = tmp_path / "progress.json"
    monkeypatch.setenv("RATCHET_PROGRESS_FILE", str(note))
    folder, _ = write_plan(plan(), PACKS, tmp_path / "plans")
    lines = "".join(
        f"print({launcher.STEP_PREFIX + json.dumps({'step': s, 'total': 5, 'loss': 2.0 / s})!r});" for s in (3, 4, 5)
    )
    script(monkeypatch, lines)  # a run that goes on after step 2
    with pytest.raises(ExternalError):
        launcher.train(folder, launcher="torchrun")
    progress = json.loads(note.read_text())
    assert (progress["done"], progress["total"], progress["left_s"]) == (2, 2, 0)
    assert "step 5/5, loss 0.400" in progress["message"]
    assert "tokens/s" in progress["message"]


def test_a_switch_for_cpu_never_reaches_a_gpu() -> None:
    assert launcher.environment(plan())["DS_ACCELERATOR"] == "cpu"
    assert launcher.environment(plan())["OMP_NUM_THREADS"] == "2"
    assert launcher.environment(plan(on_gpu=True)).keys() == {"OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM"}


def test_the_commands_start_modules_not_files() -> None:
    folder = Path("plans")
    torchrun = launcher._command(folder, plan(), "torchrun", None)
    deepspeed = launcher._command(folder, plan(), "deepspeed", Path("hosts"))
    assert torchrun[torchrun.index("-m", 3) + 1] == launcher.MODULE
    assert deepspeed[deepspeed.index("--module") + 1] == launcher.MODULE
    assert deepspeed[deepspeed.index("--hostfile") + 1] == "hosts"
