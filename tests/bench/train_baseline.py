"""The baseline of `tests/bench/train.py`: Hugging Face Trainer's defaults on the same samples, in a process of its own.

`run_baseline` starts this module on the task that `write_task` wrote; it prints its speed as one line of JSON.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tasks.adapters.models.base_model import load_tokenizer
from tasks.adapters.training.training_plan import TrainingPlan
from tasks.core.training.lr_schedule import learning_rate_factor
from tasks.core.training.packing import TokenisedExample
from tasks.settings import go_offline

BATCH, ACCUMULATION = 8, 2  # Trainer's default batch size; twice, for about the samples of one of our steps


@dataclass(frozen=True)
class Speed:
    tokens: int
    wall_s: float
    cpu_s: float
    loss: float
    steps: int

    def rates(self) -> tuple[float, float]:
        return self.tokens / self.wall_s, self.tokens / self.cpu_s


def write_task(
    path: Path, plan: TrainingPlan, samples: Sequence[TokenisedExample], held_out: Sequence[TokenisedExample]
) -> None:
    """Write what the baseline trains on and is measured on."""
    task = {"plan": plan.model_dump(mode="json"), "samples": dump(samples), "held_out": dump(held_out)}
    path.write_text(json.dumps(task))


def run_baseline(path: Path) -> Speed:
    threads = str(os.cpu_count() or 1)
    command = [sys.executable, "-m", "tests.bench.train_baseline", str(path)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": threads}
    )
    if done.returncode:
        raise SystemExit(f"the baseline failed: {done.stderr[-3000:]}")
    return Speed(**json.loads(done.stdout.splitlines()[-1]))


def baseline(path: Path) -> Speed:
    """Train as Trainer does by itself and return what it took."""
    import torch
    from peft import LoraConfig, get_peft_model
    from torch.optim.lr_scheduler import LambdaLR
    from torch.utils.data import SequentialSampler
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainerCallback, TrainingArguments

    task = json.loads(path.read_text())
    plan, rows = TrainingPlan.model_validate(task["plan"]), task["samples"]
    held_out = [TokenisedExample(r["id"], tuple(r["tokens"]), r["num_prompt"]) for r in task["held_out"]]
    total = max(2, len(rows) // (BATCH * ACCUMULATION))
    rows = rows[: total * BATCH * ACCUMULATION]
    marks: list[tuple[float, float]] = []

    class Timer(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            marks.append((time.monotonic(), time.process_time()))

    class Plain(Trainer):
        def _get_train_sampler(self, *_: Any) -> Any:
            return SequentialSampler(self.train_dataset)

        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            self.lr_scheduler = LambdaLR(
                optimizer or self.optimizer, lambda step: learning_rate_factor(step, total=total, warmup=plan.warmup)
            )
            return self.lr_scheduler

    torch.manual_seed(plan.seed)
    shape = plan.lora
    lora = LoraConfig(r=shape.r, lora_alpha=shape.alpha, target_modules=shape.target_modules, task_type="CAUSAL_LM")
    model = get_peft_model(load_base(plan), lora)
    arguments = TrainingArguments(
        output_dir=str(path.parent / "baseline"),
        num_train_epochs=1,
        gradient_accumulation_steps=ACCUMULATION,
        learning_rate=plan.learning_rate,
        adam_beta2=0.99,  # as ours: the course of the loss is compared, not the optimiser
        use_cpu=not plan.on_gpu,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    data = [
        {
            "input_ids": r["tokens"],
            "labels": [-100] * r["num_prompt"] + r["tokens"][r["num_prompt"] :],
            "attention_mask": [1] * len(r["tokens"]),
        }
        for r in rows
    ]
    collator = DataCollatorForSeq2Seq(load_tokenizer(plan.base_folder))
    Plain(model=model, args=arguments, train_dataset=data, data_collator=collator, callbacks=[Timer()]).train()
    tokens = sum(len(r["tokens"]) for r in rows[BATCH * ACCUMULATION :])
    wall, cpu = (last - first for first, last in zip(marks[0], marks[-1], strict=True))
    return Speed(tokens, wall, cpu, textbook_loss(model.cpu(), held_out), len(marks))


def load_base(plan: TrainingPlan) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(plan.base_folder, dtype=torch.float32, local_files_only=True)


def textbook_loss(model: Any, examples: Sequence[TokenisedExample]) -> float:
    """Return the mean loss per completion token: one sample at a time, no packing, all logits."""
    import torch

    total = count = 0.0
    with torch.no_grad():
        for example in examples:
            labels = torch.tensor([[-100] * example.num_prompt + list(example.tokens[example.num_prompt :])])
            loss = model.eval()(input_ids=torch.tensor([example.tokens]), labels=labels).loss
            total += float(loss) * example.num_targets
            count += example.num_targets
    return total / count


def dump(examples: Sequence[TokenisedExample]) -> list[dict[str, object]]:
    return [asdict(example) for example in examples]


if __name__ == "__main__":
    go_offline()
    print(json.dumps(asdict(baseline(Path(sys.argv[1])))))
