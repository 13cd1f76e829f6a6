"""Fine-tune a LoRA adapter to answer from the retrieved context, and to say when the context does not hold the answer.

Reads `split` (its train side) and `index` (searched within it), writes `train`: `adapter/` (PEFT), `prompt.json`,
`loss.json` and `loss.png`, `dropped.jsonl` (examples longer than a pack, with the reason). Questions that one context
serves are asked over it together (core/training/examples.py and packing.py). The ranks are started by a launcher and
keep checkpoints below `settings.home`, so that a killed run resumes where it was.
Method: LoRA, Hu et al. 2021; completion-only loss; a share of general chat against forgetting (experience replay,
Rolnick et al. 2019). Caveat: the number of processes decides the order of sums, and so the last bits of the adapter.
"""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tasks.adapters.storage.files import write_json, write_jsonl
from tasks.adapters.storage.tables import num_rows
from tasks.core.chat import prompt
from tasks.core.errors import ConfigError, DataError
from tasks.core.stage import Report, StageConfig
from tasks.core.training.packing import Pack, pack_trees
from tasks.settings import Settings

if TYPE_CHECKING:
    from tasks.adapters.models.base_model import BaseModel
    from tasks.adapters.training.training_plan import TrainingPlan, TrainingResult
    from tasks.adapters.training.training_set import TrainingSet, TrainingSetSpec

logger = logging.getLogger(__name__)

MAX_KEPT_PLANS = 3  # unfinished trainings with other values, which can be resumed


class Config(StageConfig):
    base_model: str = "smollm2-135m-instruct"
    """The embedded model, a Hugging Face model folder, or a hub id."""
    max_examples: int = Field(800, ge=1)
    """Conversations to learn from, drawn so that every kind keeps its share."""
    epochs: int = Field(1, ge=1)
    """Times that each example is seen."""
    learning_rate: float = Field(2e-3, gt=0)
    """Highest learning rate."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the steps in which the learning rate rises."""
    weight_decay: float = Field(0.0, ge=0)
    """Weight decay of the adapter's tensors."""
    replay: float = Field(0.1, ge=0, lt=1)
    """Share of general chat among the examples, against forgetting; at most what replay_file holds."""
    replay_file: Path = Path("configs/finetune/replay.jsonl")
    """General chat: one {"id", "question", "answer"} a line; must not overlap the probe of evaluation."""
    passages: int = Field(3, ge=1)
    """Passages in a prompt, as at evaluation and serving."""
    share_context: int = Field(6, ge=1)
    """Most questions asked over one context; 1: every question over its own."""
    pack_tokens: int = Field(768, ge=64)
    """Most tokens of a pack; an example that is longer is dropped."""
    packs_per_step: int = Field(2, ge=1)
    """Packs of an optimiser step over all processes, a multiple of `processes`."""
    lora_r: int = Field(16, ge=1)
    """Rank of the adapter."""
    lora_alpha: int = Field(32, ge=1)
    """Scale of the adapter: its update counts alpha / r times."""
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout before the adapter."""
    target_modules: str | list[str] = "all-linear"
    """Layers that get an adapter."""
    processes: int = Field(2, ge=1)
    """Ranks; on CPU each has threads / processes threads, on GPU one GPU each."""
    zero_stage: int = Field(0, ge=0, le=3)
    """DeepSpeed ZeRO stage; 3 partitions the weights too and is several times slower on CPU."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the base weights; auto: bfloat16 where the processor multiplies it natively."""
    launcher: Literal["torchrun", "deepspeed"] = "torchrun"
    """What starts the ranks; deepspeed with a hostfile for several machines."""
    hostfile: Path | None = None
    """DeepSpeed's list of machines."""
    checkpoint_every: int = Field(8, ge=1)
    """Steps between checkpoints; the default loses less than a minute of work on two slow cores."""
    seed: int = 0
    """Decides which examples, in which order, and the adapter's first values."""


class TrainReport(Report):
    base_model: str
    base_digest: str
    adapter_digest: str
    prompt_digest: str
    index_version: str
    examples: int
    examples_by_kind: dict[str, int]
    examples_dropped: int
    """Longer than a pack: see dropped.jsonl."""
    contexts: int
    """Contexts they were asked over."""
    tokens: int
    """Of all examples as the model is asked them, prompts and completions, all epochs."""
    tokens_computed: int
    """Of these after sharing contexts."""
    completion_tokens: int
    steps: int
    first_loss: float
    """Mean of the first tenth of the steps."""
    last_loss: float
    """Mean of the last tenth of the steps."""
    seed: int
    processes: int
    zero_stage: int
    dtype: str


def run(config: Config, split: Path, index: Path, out: Path, *, settings: Settings) -> TrainReport:
    from tasks.adapters.models.base_model import load_tokenizer, resolve
    from tasks.adapters.retrieval.index import Retriever
    from tasks.adapters.training import launcher, training_plan
    from tasks.adapters.training.loss_curve import draw_loss
    from tasks.adapters.training.training_set import read_training_set

    on_gpu = _check_processes(config, settings)
    if not num_rows(split / "train.parquet"):
        raise DataError(
            f"{split / 'train.parquet'} holds no conversation: see {split / 'dropped.jsonl'} for the reasons."
        )
    base = resolve(config.base_model, settings.model_cache)
    retriever = Retriever.open(index, threads=settings.threads)
    training_set = read_training_set(_training_set_spec(config), split, retriever, load_tokenizer(base.folder))
    write_jsonl(out / "dropped.jsonl", training_set.dropped)
    if not training_set.groups:
        raise DataError(f"No example fits pack_tokens={config.pack_tokens}: see data/train.failed/dropped.jsonl.")
    trees = training_set.trees(config.pack_tokens)
    packs = pack_trees(trees, config.pack_tokens)
    checkpoints = settings.home / "checkpoints"
    folder, plan = training_plan.write_plan(_plan(config, base, settings, on_gpu=on_gpu), packs, checkpoints)
    training_plan.prune_plans(checkpoints, keep=MAX_KEPT_PLANS)
    result = launcher.train(folder, launcher=config.launcher, hostfile=config.hostfile)
    shutil.copytree(folder / training_plan.ADAPTER, out / "adapter")
    write_json(out / "prompt.json", {"version": prompt.VERSION, "digest": prompt.digest(), "passages": config.passages})
    write_json(out / "loss.json", result.history)
    draw_loss(result.history, out / "loss.png")
    report = _report(config, plan, result, training_set, packs, retriever.version)
    shutil.rmtree(folder)  # the stage's folder holds all that is worth keeping
    return report


def _check_processes(config: Config, settings: Settings) -> bool:
    """Return whether to train on GPUs. Raises ConfigError for numbers that do not go together."""
    from tasks.adapters.training.devices import num_gpus

    gpus = num_gpus()
    places, noun = (gpus, "GPUs") if gpus else (settings.threads, "threads")
    if config.hostfile is None and config.processes > places:
        raise ConfigError(
            f"finetune.train processes={config.processes} is more than the {places} {noun} here: set at most {places}."
        )
    if config.packs_per_step % config.processes:
        raise ConfigError(
            f"finetune.train packs_per_step={config.packs_per_step} is no multiple of processes={config.processes}: "
            f"set {config.processes * max(1, config.packs_per_step // config.processes)}."
        )
    if config.hostfile is not None and (config.launcher != "deepspeed" or not config.hostfile.exists()):
        raise ConfigError(f"finetune.train hostfile={config.hostfile} needs launcher=deepspeed and a file that exists.")
    return bool(gpus)


def _training_set_spec(config: Config) -> "TrainingSetSpec":
    from tasks.adapters.training.training_set import TrainingSetSpec

    names = [field.name for field in fields(TrainingSetSpec)]
    return TrainingSetSpec(**config.model_dump(include=set(names)))


def _plan(config: Config, base: "BaseModel", settings: Settings, *, on_gpu: bool) -> "TrainingPlan":
    from tasks.adapters.training.devices import fit_attention, fit_dtype
    from tasks.adapters.training.training_plan import LoraShape, TrainingPlan

    dtype = fit_dtype(config.dtype, on_gpu=on_gpu)
    return TrainingPlan(
        base_id=base.id,
        base_digest=base.digest,
        prompt_digest=prompt.digest(),
        lora=LoraShape(
            r=config.lora_r,
            alpha=config.lora_alpha,
            dropout=config.lora_dropout,
            target_modules=config.target_modules,
        ),
        dtype=dtype,
        attention=fit_attention(dtype, on_gpu=on_gpu),
        base_folder=base.folder,
        threads=settings.threads,
        on_gpu=on_gpu,
        **config.model_dump(
            include={
                "learning_rate",
                "warmup",
                "weight_decay",
                "packs_per_step",
                "epochs",
                "seed",
                "processes",
                "zero_stage",
                "checkpoint_every",
            }
        ),
    )


def _report(
    config: Config,
    plan: "TrainingPlan",
    result: "TrainingResult",
    training_set: "TrainingSet",
    packs: Sequence[Pack],
    index_version: str,
) -> TrainReport:
    examples = [example for group in training_set.groups for example in group]
    tenth = max(1, len(result.history) // 10)
    losses = [row["loss"] for row in result.history]
    return TrainReport(
        base_model=plan.base_id,
        base_digest=plan.base_digest,
        adapter_digest=result.adapter_digest,
        prompt_digest=plan.prompt_digest,
        index_version=index_version,
        examples=len(examples),
        examples_by_kind=dict(sorted(training_set.kinds.items())),
        examples_dropped=len(training_set.dropped),
        contexts=len(training_set.groups) - training_set.kinds["replay"],
        tokens=config.epochs * sum(len(example.tokens) for example in examples),
        tokens_computed=config.epochs * sum(pack.size for pack in packs),
        completion_tokens=config.epochs * sum(example.num_targets for example in examples),
        steps=result.step,
        first_loss=round(sum(losses[:tenth]) / tenth, 6),
        last_loss=round(sum(losses[-tenth:]) / tenth, 6),
        seed=config.seed,
        processes=config.processes,
        zero_stage=config.zero_stage,
        dtype=plan.dtype,
    )
