"""Real trainings of a tiny random llama by real launchers: two ranks, DeepSpeed, kill -9."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tasks.adapters.training import launcher
from tasks.adapters.training.training_plan import LoraShape, TrainingPlan, read_result, write_plan
from tasks.core.errors import DataError, ExternalError
from tasks.core.training.packing import TokenisedExample, grow_trees, pack_trees

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

STEPS = 12


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=256,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
    )
    folder = tmp_path_factory.mktemp("base")
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def plan(base_folder: Path) -> TrainingPlan:
    return TrainingPlan(
        base_id="tiny",
        base_digest="base",
        prompt_digest="prompt",
        lora=LoraShape(
            r=4, alpha=8, dropout=0.05, target_modules="all-linear"
        ),  # dropout: random state must resume too
        learning_rate=1e-2,
        warmup=0.2,
        weight_decay=0.01,
        packs_per_step=2,
        epochs=2,
        seed=3,
        processes=2,
        zero_stage=0,
        dtype="float32",
        attention="eager",
        base_folder=base_folder,
        checkpoint_every=1,
        threads=2,
        on_gpu=False,
    )


def prepare(plan: TrainingPlan, root: Path) -> Path:
    rng = random.Random(0)
    examples = []
    for group in range(12):
        context = [rng.randrange(256) for _ in range(12)]
        for branch in range(2):
            prompt = [*context, *(rng.randrange(256) for _ in range(3))]
            tokens = (*prompt, *(rng.randrange(256) for _ in range(3)))
            examples.append(TokenisedExample(f"{group}-{branch}", tokens, len(prompt)))
    trees = [tree for i in range(0, len(examples), 2) for tree in grow_trees(examples[i : i + 2], 64)]
    folder, _ = write_plan(plan, pack_trees(trees, 24), root)
    return folder


@pytest.fixture(scope="module")
def whole(plan: TrainingPlan, tmp_path_factory: pytest.TempPathFactory) -> launcher.TrainingResult:
    """The uninterrupted training that others must equal."""
    return launcher.train(prepare(plan, tmp_path_factory.mktemp("whole")), launcher="torchrun")


@contextlib.contextmanager
def killer(condition: Callable[[], bool], victim: Callable[[], psutil.Process | None]) -> Iterator[list[int]]:
    """Kill -9 the victim as soon as the condition holds."""
    killed: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.is_set() and not killed:
            process = victim() if condition() else None
            if process is not None:
                process.send_signal(signal.SIGKILL)
                killed.append(process.pid)
            time.sleep(0.002)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def started(text: str, root: int | None = None) -> list[psutil.Process]:
    """Return descendants whose command line holds `text`, oldest first."""
    found = []
    for child in psutil.Process(root).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if text in " ".join(child.cmdline()):
                found.append(child)
    return sorted(found, key=lambda child: child.pid)


def rank(number: int) -> psutil.Process | None:
    ranks = [p for p in started(launcher.MODULE) if "torch.distributed.run" not in p.cmdline()]
    return ranks[number] if len(ranks) == 2 else None


def agent() -> psutil.Process | None:
    return next(iter(started("torch.distributed.run")), None)


def reached(folder: Path, step: int) -> Callable[[], bool]:
    log = folder / launcher.OUTPUT
    return lambda: log.exists() and f'"step": {step},' in log.read_text()


def test_a_training_killed_at_a_rank_then_at_its_launcher_ends_as_if_nothing_had_happened(
    plan: TrainingPlan, whole: launcher.TrainingResult, tmp_path: Path
) -> None:
    folder = prepare(plan, tmp_path)
    with killer(reached(folder, 3), lambda: rank(1)) as killed, pytest.raises(ExternalError, match="run again"):
        launcher.train(folder, launcher="torchrun")
    assert killed
    assert launcher.checkpoints(folder)
    with killer(reached(folder, 7), agent) as killed, pytest.raises(ExternalError, match="run again"):
        launcher.train(folder, launcher="torchrun")
    assert killed
    assert not started(launcher.MODULE)
    result = launcher.train(folder, launcher="torchrun")
    steps = [json.loads(line.partition(launcher.STEP_PREFIX)[2])["step"] for line in event_lines(folder)]
    assert len(steps) < 2 * STEPS, "it started over"
    assert result == whole


def event_lines(folder: Path) -> list[str]:
    return [line for line in (folder / launcher.OUTPUT).read_text().splitlines() if launcher.STEP_PREFIX in line]


def test_a_checkpoint_that_was_being_written_does_not_count(
    plan: TrainingPlan, whole: launcher.TrainingResult, tmp_path: Path
) -> None:
    folder = prepare(plan, tmp_path)

    def half_written() -> bool:
        complete = {path.name for path in launcher.checkpoints(folder)}
        begun = {path.name for path in folder.glob("checkpoint-*")}
        return len(complete) > 1 and bool(begun - complete)

    with killer(half_written, lambda: rank(0)) as killed, pytest.raises(ExternalError):
        launcher.train(folder, launcher="torchrun")
    assert killed
    newest = launcher.checkpoints(folder)[-1]
    (newest / "trainer_state.json").write_text("{")  # as if its last write had been torn too
    (newest / "COMPLETE").unlink()
    assert launcher.train(folder, launcher="torchrun") == whole


def test_no_rank_outlives_a_stage_that_is_killed(plan: TrainingPlan, tmp_path: Path) -> None:
    folder = prepare(plan, tmp_path)
    code = (
        "from pathlib import Path; from tasks.adapters.training import launcher; "
        f"launcher.train(Path({str(folder)!r}), launcher='torchrun')"
    )
    stage = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.getcwd()})  # noqa: PTH109
    wait_for(reached(folder, 2))
    family = psutil.Process(stage.pid).children(recursive=True)
    assert len(family) >= 3
    stage.kill()
    stage.wait()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive


def wait_for(condition: Callable[[], bool], limit_s: float = 180) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_finished_plan_is_not_trained_again(
    plan: TrainingPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = plan.model_copy(update={"processes": 1, "epochs": 1})
    folder = prepare(short, tmp_path)
    first = launcher.train(folder, launcher="deepspeed")
    monkeypatch.setattr(launcher, "run_supervised", lambda *_, **__: pytest.fail("started ranks"))
    assert launcher.train(folder, launcher="torchrun") == first
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"torn")
    with pytest.raises(pytest.fail.Exception):
        launcher.train(folder, launcher="torchrun")
    assert read_result(folder) is None


@pytest.mark.parametrize("stage", [2, 3])
def test_the_stages_of_zero_give_the_same_losses(
    stage: int, plan: TrainingPlan, whole: launcher.TrainingResult, tmp_path: Path
) -> None:
    folder = prepare(plan.model_copy(update={"zero_stage": stage}), tmp_path)
    result = launcher.train(folder, launcher="torchrun")
    losses = [row["loss"] for row in result.history]
    # dropout draws differ where stage 3 runs its modules in another order; the losses stay close
    assert losses == pytest.approx([row["loss"] for row in whole.history], abs=0.05)


def test_a_loss_that_is_no_number_is_refused_in_one_sentence(plan: TrainingPlan, tmp_path: Path) -> None:
    wild = plan.model_copy(update={"processes": 1, "learning_rate": 1e30, "warmup": 0.0})
    with pytest.raises(DataError, match="lower learning_rate"):
        launcher.train(prepare(wild, tmp_path), launcher="torchrun")


def test_the_loss_falls_and_every_step_is_in_the_history(whole: launcher.TrainingResult) -> None:
    losses = [row["loss"] for row in whole.history]
    assert [row["step"] for row in whole.history] == list(range(1, STEPS + 1))
    assert whole.step == STEPS
    assert sum(losses[-3:]) < sum(losses[:3])
    assert whole.history[0]["learning_rate"] < whole.history[2]["learning_rate"]
