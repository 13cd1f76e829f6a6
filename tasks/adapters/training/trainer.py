"""Run one rank of a training: PEFT LoRA under Hugging Face's Trainer and DeepSpeed.

Started by a launcher as `-m tasks.adapters.training.trainer FOLDER`, it reads the plan in FOLDER, resumes from the last
complete checkpoint, and writes the adapter and, last of all, `result.json`. Rank 0 prints each step as a line of JSON.
The loss is the mean over the completion tokens of the whole step, whatever process or micro-batch they fell into; only
those positions get logits. Checkpoints are Trainer's own; one is complete when the file COMPLETE is in it.
Caveat: DeepSpeed would compile an operator for shared-memory communication on every CPU run; the private table that
switches it off is tied to the pinned version.
"""

import json
import logging
import os
import shutil
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.adapters.models.gguf_export import adapter_digest
from tasks.adapters.storage.files import write_json
from tasks.adapters.system.processes import die_with_parent
from tasks.adapters.training.adapter_checks import check_reloaded, completion_logits, normalise_adapter
from tasks.adapters.training.lora import batch_of, lora_model, pack_loss
from tasks.adapters.training.training_plan import (
    ADAPTER,
    REFUSAL,
    RESULT,
    TrainingPlan,
    TrainingResult,
    read_packs,
    read_plan,
)
from tasks.core.errors import DataError, RatchetError
from tasks.core.training.lr_schedule import learning_rate_factor
from tasks.core.training.packing import Pack, schedule

if TYPE_CHECKING:
    import torch
    from transformers import Trainer

COMPLETE = "COMPLETE"
MAX_CHECKPOINTS = 2
BETAS = (0.9, 0.99)  # short runs: a second moment with a memory of 100 steps, not 1,000
MAX_GRADIENT_NORM = 1.0
STEP_PREFIX = "ratchet-step "
"""Begins a line of a rank's output that reports a step; JSON follows."""


def main(folder: Path) -> int:
    """Train by the plan in `folder` and return the exit code; a typed error is left as a file for the launcher."""
    die_with_parent()
    try:
        _train(folder, read_plan(folder))
    except RatchetError as error:
        write_json(folder / REFUSAL, {"type": type(error).__name__, "message": str(error)})
        return error.exit_code
    return 0


def checkpoints(folder: Path) -> list[Path]:
    """Return the complete checkpoints in `folder`, oldest first."""
    found = [path for path in folder.glob("checkpoint-*") if (path / COMPLETE).exists()]
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))


def _train(folder: Path, plan: TrainingPlan) -> None:
    _silence_libraries()
    import deepspeed
    import deepspeed.ops
    import torch

    torch.set_num_threads(max(1, plan.threads // plan.processes))
    if not plan.on_gpu:
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed(dist_backend=None if plan.on_gpu else "gloo")  # before the model: stage 3 needs it
    steps = schedule(
        read_packs(folder), plan.packs_per_step, processes=plan.processes, epochs=plan.epochs, seed=plan.seed
    )
    arguments = _arguments(folder, plan)  # before the model too: it tells transformers of stage 3
    model = lora_model(plan)
    trainer = _trainer(model, arguments, plan, steps)
    done = checkpoints(folder)
    trainer.train(resume_from_checkpoint=str(done[-1]) if done else None)
    _finish(folder, plan, trainer, steps[0][0])


def _arguments(folder: Path, plan: TrainingPlan) -> Any:
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=1,  # one pack
        gradient_accumulation_steps=plan.packs_per_step // plan.processes,
        num_train_epochs=1,  # the schedule holds all epochs
        learning_rate=plan.learning_rate,
        weight_decay=plan.weight_decay,
        adam_beta1=BETAS[0],
        adam_beta2=BETAS[1],
        max_grad_norm=MAX_GRADIENT_NORM,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=plan.checkpoint_every,
        save_total_limit=MAX_CHECKPOINTS,
        seed=plan.seed,
        use_cpu=not plan.on_gpu,
        bf16=plan.dtype == "bfloat16",
        remove_unused_columns=False,
        dataloader_pin_memory=plan.on_gpu,
        disable_tqdm=True,
        report_to=[],
        deepspeed=deepspeed_config(plan),
    )


def deepspeed_config(plan: TrainingPlan) -> dict[str, Any]:
    """Return DeepSpeed's configuration; on CPU nothing in it has to be compiled."""
    optimizer = {"lr": plan.learning_rate, "betas": list(BETAS), "eps": 1e-8, "weight_decay": plan.weight_decay}
    zero: dict[str, Any] = {"stage": plan.zero_stage}
    if plan.zero_stage == 3:
        zero["stage3_gather_16bit_weights_on_model_save"] = True
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": plan.packs_per_step // plan.processes,
        "gradient_clipping": MAX_GRADIENT_NORM,
        "optimizer": {"type": "AdamW", "params": {**optimizer, "torch_adam": not plan.on_gpu}},
        "bf16": {"enabled": plan.dtype == "bfloat16"},
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 2**31,
    }


def _trainer(model: Any, arguments: Any, plan: TrainingPlan, steps: list[list[Pack]]) -> "Trainer":
    from torch.optim.lr_scheduler import LambdaLR
    from torch.utils.data import SequentialSampler
    from transformers import Trainer

    class PackTrainer(Trainer):
        """Trainer over packs in the order of the schedule."""

        def compute_loss(self, model: Any, inputs: Any, *_: Any, **__: Any) -> Any:
            return pack_loss(model, inputs)

        def _get_train_sampler(self, *_: Any) -> Any:
            return SequentialSampler(batches)

        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            def factor(step: int) -> float:
                return learning_rate_factor(step, total=len(steps), warmup=plan.warmup)

            if self.lr_scheduler is None:  # the second call comes when DeepSpeed has made its own from the first
                self.lr_scheduler = LambdaLR(optimizer, factor)
            return self.lr_scheduler

    batches = _batches(model, plan, steps)
    trainer = PackTrainer(
        model=model,
        args=arguments,
        train_dataset=batches,
        data_collator=lambda rows: rows[0],
        callbacks=[_reporter(plan)],
    )
    trainer.loss_is_scaled_for_ga = True
    return trainer


def _batches(model: Any, plan: TrainingPlan, steps: list[list[Pack]]) -> Any:
    from torch.utils.data import Dataset

    flat = [(pack, sum(len(p.targets) for p in step)) for step in steps for pack in step]

    class Batches(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(flat)

        def __getitem__(self, index: int) -> dict[str, "torch.Tensor"]:
            return batch_of(*flat[index], plan.processes, model.dtype)

    return Batches()


def _reporter(plan: TrainingPlan) -> Any:
    import torch.distributed as dist
    from transformers import TrainerCallback

    class Reporter(TrainerCallback):
        """Prints each step, refuses a loss that is no number, and marks complete checkpoints."""

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if not logs or "loss" not in logs:
                return
            if not abs(logs["loss"]) < float("inf"):
                raise DataError(
                    f"The loss is {logs['loss']} at step {state.global_step}: lower learning_rate={plan.learning_rate}."
                )
            if state.is_world_process_zero:
                values = {"step": state.global_step, "total": state.max_steps, "loss": logs["loss"]}
                print(STEP_PREFIX + json.dumps(values), flush=True)  # noqa: T201 (the launcher reads it)

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            dist.barrier()  # every rank has written its part
            if state.is_world_process_zero:
                write_json(Path(args.output_dir) / f"checkpoint-{state.global_step}" / COMPLETE, {})

    return Reporter()


def _finish(folder: Path, plan: TrainingPlan, trainer: "Trainer", check_pack: Pack) -> None:
    """Save the adapter, check that it reloads with the same logits on `check_pack`, and write the result last."""
    import torch.distributed as dist

    part = folder / f"{ADAPTER}.part"
    if trainer.is_world_process_zero():
        shutil.rmtree(part, ignore_errors=True)
    dist.barrier()
    trainer.save_model(str(part))
    batch = batch_of(check_pack, 1, 1, trainer.accelerator.unwrap_model(trainer.model_wrapped).dtype)
    expected = completion_logits(trainer.model_wrapped, batch)
    if trainer.is_world_process_zero():
        normalise_adapter(part, plan.base_id)
        check_reloaded(part, plan, batch, expected)
        shutil.rmtree(folder / ADAPTER, ignore_errors=True)
        part.rename(folder / ADAPTER)
        history = [_row(row, plan, trainer.state.max_steps) for row in trainer.state.log_history if "loss" in row]
        result = TrainingResult(
            step=trainer.state.global_step,
            loss=history[-1]["loss"],
            adapter_digest=adapter_digest(folder / ADAPTER),
            history=history,
        )
        write_json(folder / RESULT, result.model_dump())
    dist.barrier()


def _row(logged: dict[str, float], plan: TrainingPlan, total: int) -> dict[str, float]:
    """Return a step for the history; Trainer logs the learning rate of the step that follows."""
    step = int(logged["step"])
    rate = plan.learning_rate * learning_rate_factor(step - 1, total=total, warmup=plan.warmup)
    return {"step": step, "loss": logged["loss"], "learning_rate": rate}


def _silence_libraries() -> None:
    """Keep the libraries' messages out of the log."""
    warnings.simplefilter("ignore")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    for name in ("DeepSpeed", "transformers", "torch.distributed", "accelerate"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    code = main(Path(sys.argv[-1]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # torch's teardown sometimes aborts after all was saved
