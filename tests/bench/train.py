"""Training: tokens per second of the default profile against Hugging Face Trainer's defaults, on the same samples.

Run `python -m tests.bench.train` (about ten minutes on two cores, 12 GB) or with `--quick`. The samples are those the
train stage makes of `data/split` and `data/index`; without these, of part of Python's documentation. Both sides get the
same base model, LoRA shape, learning rate and course, and the samples in the same order; the baseline is otherwise what
Trainer does by itself: float32, batches of 8 (twice a step, to see as many samples a step as ours), padded to the
longest, logits everywhere, one process with all threads. Tokens are those of the samples, without padding, so a token
that ours computes once for several samples counts for each. The first step warms up and is not timed. The loss is
taken by one textbook function (padded, float32) on samples that neither side trains on.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from tasks.adapters.models.base_model import BaseModel, load_tokenizer, resolve
from tasks.adapters.training import devices, launcher, training_plan
from tasks.adapters.training.trainer import EVENT
from tasks.adapters.training.training_plan import LoraShape, TrainingPlan
from tasks.adapters.training.training_set import Syllabus, read_lesson
from tasks.core.training.lr_schedule import learning_rate_factor
from tasks.core.training.packing import TokenisedExample, grow_trees, pack_trees, schedule
from tasks.finetune.train import Config
from tasks.settings import Settings, go_offline

REQUIRED_RATIO = 3.0
LOSS_TOLERANCE = 0.1  # of the loss that training takes away: batches differ by a few samples, so paths differ too
BATCH, ACCUMULATION = 8, 2  # Trainer's default batch size; twice, for about the samples of one of our steps
HELD_OUT = 16
SAMPLES, QUICK_SAMPLES = 96, 40


@dataclass(frozen=True)
class Speed:
    tokens: int
    wall_s: float
    cpu_s: float
    loss: float
    steps: int

    def rates(self) -> tuple[float, float]:
        return self.tokens / self.wall_s, self.tokens / self.cpu_s


def main() -> int:
    """Print both rates, their ratio and both losses; return 1 where the ratio or the loss misses the mark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer samples")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--baseline", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    go_offline()
    if options.baseline:
        print(json.dumps(asdict(baseline(options.baseline))))
        return 0
    settings, config = Settings(), Config()
    base = resolve(config.base_model, settings.model_cache)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        groups = samples(config, options.data, work, base, QUICK_SAMPLES if options.quick else SAMPLES)
        held_out, groups = hold_out(groups)
        plan = make_plan(config, base, settings)
        packs = pack_trees([t for g in groups for t in grow_trees(g, config.pack_tokens)], config.pack_tokens)
        folder, plan = training_plan.write_plan(plan, packs, work / "checkpoints")
        steps = schedule(packs, plan.packs_per_step, processes=plan.processes, epochs=1, seed=plan.seed)
        by_id = {example.id: example for group in groups for example in group}
        order = [by_id[key] for step in steps for pack in step for key in pack.examples]
        (work / "baseline.json").write_text(
            json.dumps({"plan": plan.model_dump(mode="json"), "samples": dump(order), "held_out": dump(held_out)})
        )
        whole, computed = sum(len(e.tokens) for e in order), sum(pack.size for pack in packs)
        print(
            f"{len(order)} samples over {len(groups)} contexts, {whole} tokens, of which ours computes {computed}",
            flush=True,
        )
        before = textbook_loss(load_base(plan), held_out)
        mine = ours(
            folder,
            plan,
            held_out,
            tokens=sum(len(by_id[key].tokens) for step in steps[1:] for p in step for key in p.examples),
        )
        theirs = run_baseline(work / "baseline.json")
    return report(plan, before, mine, theirs)


def report(plan: TrainingPlan, before: float, mine: Speed, theirs: Speed) -> int:
    wall, cpu = (a / b for a, b in zip(mine.rates(), theirs.rates(), strict=True))
    for name, speed in (("ours", mine), ("Trainer", theirs)):
        per_wall, per_cpu = speed.rates()
        print(
            f"{name:8} {speed.tokens:6d} tokens in {speed.wall_s:6.1f} s, {per_wall:6.0f} tokens/s, {per_cpu:6.0f} "
            f"tokens per CPU-s; held-out loss {before:.3f} -> {speed.loss:.3f} after {speed.steps} steps"
        )
    gap = abs(mine.loss - theirs.loss) / max(before - theirs.loss, 1e-9)
    print(
        f"ratio {wall:.2f} (per CPU-second {cpu:.2f}), required {REQUIRED_RATIO}; {plan.dtype}, {plan.processes} ranks"
    )
    print(f"loss gap {gap:.1%} of what training took away, allowed {LOSS_TOLERANCE:.0%}")
    return 0 if wall >= REQUIRED_RATIO and gap <= LOSS_TOLERANCE else 1


def samples(config: Config, data: Path, work: Path, base: BaseModel, count: int) -> list[list[TokenisedExample]]:
    """Return about `count` of the samples of the default profile, in their groups that share a context."""
    from tasks.adapters.retrieval.index import Retriever

    if not (data / "index" / "index.json").exists():
        data = curate(work)
    syllabus = Syllabus(**config.model_dump(include=set(Syllabus.__dataclass_fields__)))
    lesson = read_lesson(syllabus, data / "split", Retriever.open(data / "index"), load_tokenizer(base.folder))
    share = count / sum(map(len, lesson.groups))
    wanted = max(1, round(share * len(lesson.groups)))
    return [lesson.groups[i * len(lesson.groups) // wanted] for i in range(wanted)]


def curate(work: Path) -> Path:
    """Make split and index of some families of Python's documentation; takes a minute."""
    import polars as pl

    from tasks.curate import index, ingest, split

    settings = Settings(home=work / "home", data=work / "data")
    for stage in ("ingest", "part", "split", "index"):
        (work / "data" / stage).mkdir(parents=True)
    ingest.run(ingest.Config(), work / "data" / "ingest", settings=settings)
    families = pl.read_parquet(work / "data/ingest/documents.parquet")["family"].unique().sort()[::4].to_list()
    for name in ("documents", "conversations"):
        table = pl.read_parquet(work / f"data/ingest/{name}.parquet")
        table.filter(pl.col("family").is_in(families)).write_parquet(work / f"data/part/{name}.parquet")
    split.run(split.Config(), work / "data" / "part", work / "data" / "split")
    index.run(index.Config(check_questions=0), work / "data" / "split", work / "data" / "index", settings=settings)
    return work / "data"


def hold_out(groups: Sequence[list[TokenisedExample]]) -> tuple[list[TokenisedExample], list[list[TokenisedExample]]]:
    """Return some samples, spread over the kinds of group, and the groups of the others."""
    held: list[TokenisedExample] = []
    kept = []
    for number, group in enumerate(groups):
        if number % 5 == 0 and len(held) < HELD_OUT:
            held += group
        else:
            kept.append(group)
    return held, kept


def make_plan(config: Config, base: BaseModel, settings: Settings) -> TrainingPlan:
    import torch

    on_gpu = torch.cuda.is_available()
    dtype = devices.fit_dtype(config.dtype, on_gpu=on_gpu)
    names = {"learning_rate", "warmup", "weight_decay", "packs_per_step", "epochs", "seed", "processes", "zero_stage"}
    return TrainingPlan(
        base_id=base.id,
        base_digest=base.digest,
        prompt_digest="",
        lora=LoraShape(r=config.lora_r, alpha=config.lora_alpha, dropout=0.0, target_modules=config.target_modules),
        dtype=dtype,
        attention=devices.fit_attention(dtype, on_gpu=on_gpu),
        base_folder=base.folder,
        checkpoint_every=1000,
        threads=settings.threads,
        on_gpu=on_gpu,
        **config.model_dump(include=names),
    )


def ours(folder: Path, plan: TrainingPlan, held_out: list[TokenisedExample], *, tokens: int) -> Speed:
    from peft import PeftModel

    thread = threading.Thread(target=launcher.train, args=(folder,), kwargs={"launcher": "torchrun"})
    thread.start()
    marks = [(time.monotonic(), cpu_seconds()) for _ in events(folder, thread)]
    thread.join()
    result = plan.read_result(folder)
    assert result is not None, (folder / launcher.OUTPUT).read_text()[-3000:]
    (first_wall, first_cpu), (last_wall, last_cpu) = marks[0], marks[-1]
    model = PeftModel.from_pretrained(load_base(plan), str(folder / training_plan.ADAPTER))
    return Speed(tokens, last_wall - first_wall, last_cpu - first_cpu, textbook_loss(model, held_out), result.step)


def events(folder: Path, thread: threading.Thread) -> Iterator[str]:
    """Yield each step's line as it appears."""
    seen = 0
    while thread.is_alive():
        log = folder / launcher.OUTPUT
        lines = [line for line in (log.read_text() if log.exists() else "").splitlines() if EVENT in line]
        yield from lines[seen:]
        seen = len(lines)
        time.sleep(0.02)


def cpu_seconds() -> float:
    """Return the CPU time of the ranks so far."""
    ranks = [p for p in psutil.Process().children(recursive=True) if launcher.MODULE in p.cmdline()]
    return float(sum(p.cpu_times().user + p.cpu_times().system for p in ranks))


def run_baseline(path: Path) -> Speed:
    threads = str(os.cpu_count() or 1)
    command = [sys.executable, "-m", "tests.bench.train", "--baseline", str(path)]
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
    sys.exit(main())
