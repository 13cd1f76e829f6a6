"""Write and read the plan of a training: every value that decides the adapter, and the packs to learn from.

The stage writes the plan, the ranks read it. Its digest names the folder of its checkpoints, so a killed run resumes
from its own and never from another plan's. Files: `plan.json`, `packs.jsonl`, later
`checkpoint-N/`, `adapter/` and, last, `result.json`.
"""

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

from tasks.adapters.storage.files import file_digest, read_jsonl, write_json, write_jsonl
from tasks.core.training.packing import Pack

PLAN, PACKS, RESULT, REFUSAL = "plan.json", "packs.jsonl", "result.json", "refusal.json"
ADAPTER = "adapter"
TRAINER_VERSION = 1  # raise it when the same plan would give another adapter


class LoraShape(BaseModel):
    """The low-rank adapter (LoRA, Hu et al. 2021)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    r: int
    alpha: int
    dropout: float
    target_modules: str | list[str]


class TrainingPlan(BaseModel):
    """The values that decide the adapter, then those that only decide how and where it is made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_id: str
    base_digest: str
    prompt_digest: str
    packs_digest: str = ""
    lora: LoraShape
    learning_rate: float
    warmup: float
    weight_decay: float
    packs_per_step: int
    epochs: int
    seed: int
    processes: int
    zero_stage: int
    dtype: Literal["float32", "bfloat16"]
    attention: str

    base_folder: Path
    checkpoint_every: int
    threads: int
    on_gpu: bool

    def digest(self) -> str:
        """Return the digest of the values that decide the adapter."""
        not_deciding = {"base_folder", "checkpoint_every", "threads", "on_gpu"}
        values = {**self.model_dump(mode="json", exclude=not_deciding), "trainer_version": TRAINER_VERSION}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


class TrainingResult(BaseModel):
    """The result of a finished training; rank 0 writes it last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int
    loss: float
    adapter_digest: str
    history: list[dict[str, float]]
    """{step, loss, learning_rate} of every step."""


def write_plan(plan: TrainingPlan, packs: Sequence[Pack], checkpoints: Path) -> tuple[Path, TrainingPlan]:
    """Write plan and packs below `checkpoints`, in a folder named by their digest, and return it with the whole plan.

    A folder of the same plan, with all its checkpoints, is left as it is.
    """
    lines = checkpoints / "next.jsonl"
    write_jsonl(lines, (dataclasses.asdict(pack) for pack in packs))
    plan = plan.model_copy(update={"packs_digest": file_digest(lines)})
    folder = checkpoints / plan.digest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    lines.replace(folder / PACKS)
    write_json(folder / PLAN, plan.model_dump(mode="json"))
    return folder, plan


def prune_plans(checkpoints: Path, *, keep: int) -> None:
    """Delete the folders of unfinished trainings, all but the `keep` that changed last."""
    folders = sorted(checkpoints.glob("*/"), key=lambda folder: folder.stat().st_mtime, reverse=True)
    for folder in folders[keep:]:
        shutil.rmtree(folder)


def read_plan(folder: Path) -> TrainingPlan:
    return TrainingPlan.model_validate_json((folder / PLAN).read_text())


def read_packs(folder: Path) -> list[Pack]:
    """Return the packs in the order they were written."""
    return [TypeAdapter(Pack).validate_python(row) for row in read_jsonl(folder / PACKS)]


def read_result(folder: Path) -> TrainingResult | None:
    """Return the result of a finished training, if it has finished."""
    path = folder / RESULT
    return TrainingResult.model_validate_json(path.read_text()) if path.exists() else None
