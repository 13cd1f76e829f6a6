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
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from tasks.adapters.models.base_model import BaseModel, load_tokenizer, resolve
from tasks.adapters.training import devices, launcher, training_plan
from tasks.adapters.training.trainer import STEP_PREFIX
from tasks.adapters.training.training_plan import LoraShape, TrainingPlan
from tasks.adapters.training.training_set import TrainingSetSpec, read_training_set
from tasks.core.training.packing import TokenisedExample, grow_trees, pack_trees, schedule
from tasks.finetune.train import Config
from tasks.settings import Settings, go_offline
from tests.bench.train_baseline import Speed, load_base, run_baseline, textbook_loss, write_task

REQUIRED_RATIO = 3.0
LOSS_TOLERANCE = 0.1  # of the loss that training takes away: batches differ by a few samples, so paths differ too
HELD_OUT = 16
SAMPLES, QUICK_SAMPLES = 96, 40


def main() -> int:
    """Print both rates, their ratio and both losses; return 1 where the ratio or the loss misses the mark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer samples")
    parser.add_argument("--data", type=Path, default=Path("data"))
    options = parser.parse_args()
    go_offline()
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
        write_task(work / "baseline.json", plan, order, held_out)
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
    spec = TrainingSetSpec(**config.model_dump(include=set(TrainingSetSpec.__dataclass_fields__)))
    training_set = read_training_set(spec, data / "split", Retriever.open(data / "index"), load_tokenizer(base.folder))
    share = count / sum(map(len, training_set.groups))
    wanted = max(1, round(share * len(training_set.groups)))
    return [training_set.groups[i * len(training_set.groups) // wanted] for i in range(wanted)]


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
    result = training_plan.read_result(folder)
    assert result is not None, (folder / launcher.OUTPUT).read_text()[-3000:]
    (first_wall, first_cpu), (last_wall, last_cpu) = marks[0], marks[-1]
    model = PeftModel.from_pretrained(load_base(plan), str(folder / training_plan.ADAPTER))
    return Speed(tokens, last_wall - first_wall, last_cpu - first_cpu, textbook_loss(model, held_out), result.step)


def events(folder: Path, thread: threading.Thread) -> Iterator[str]:
    """Yield each step's line as it appears."""
    seen = 0
    while thread.is_alive():
        log = folder / launcher.OUTPUT
        lines = [line for line in (log.read_text() if log.exists() else "").splitlines() if STEP_PREFIX in line]
        yield from lines[seen:]
        seen = len(lines)
        time.sleep(0.02)


def cpu_seconds() -> float:
    """Return the CPU time of the ranks so far."""
    ranks = [p for p in psutil.Process().children(recursive=True) if launcher.MODULE in p.cmdline()]
    return float(sum(p.cpu_times().user + p.cpu_times().system for p in ranks))


if __name__ == "__main__":
    sys.exit(main())
