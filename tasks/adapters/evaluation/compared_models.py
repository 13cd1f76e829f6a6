"""The models that are compared, and their answers: candidate, champion where there is one, and the base model.

Reads the folders `train`, `fetch` and `index`. Each is shown the passages of its own index, as it serves: a champion
that lacks the new documents is measured without them. All run on one engine with one precision, the one that will
serve, since a comparison across precisions would measure the arithmetic too. A model that has answered the very same
paper before, on the same engine, is not asked again: so a run that was killed, or another training on the same data,
costs only what is new. Caveat: one changed item is another paper, and then all of it is answered.
"""

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tasks.adapters.evaluation.eval_set import View
from tasks.adapters.inference.batch_engine import EngineProcesses
from tasks.adapters.inference.batch_types import Answer, EngineSpec
from tasks.adapters.models.base_model import BaseModel, load_tokenizer, resolve
from tasks.adapters.models.gguf_export import adapter_digest, merged_folder, merged_gguf
from tasks.adapters.retrieval.index import Retriever
from tasks.adapters.storage.files import write_json
from tasks.adapters.storage.json_files import read_object
from tasks.adapters.system.progress import Progress
from tasks.core.chat import prompt
from tasks.core.errors import DataError, ExternalError
from tasks.core.evaluation.measurements import Item, ProbeItem

KEPT_SHEETS = 12
LASTING = ("ok", "empty")  # what would come out again; failures are tried anew

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Contender:
    """A model under comparison; `digest` names base and adapter. It is shown `passages` passages of `index`."""

    name: str
    base: BaseModel
    adapter: Path | None
    index: Path
    passages: int

    @property
    def digest(self) -> str:
        return f"{self.base.digest}+{adapter_digest(self.adapter) if self.adapter else 'none'}"


@dataclass(frozen=True)
class Paper:
    """All that one model is asked: items in their context, then the probe as plain chat."""

    items: Sequence[Item]
    probe: Sequence[ProbeItem]
    answer_tokens: int
    probe_tokens: int

    @property
    def size(self) -> int:
        return len(self.items) + len(self.probe)


@dataclass(frozen=True)
class Sheet:
    """One model's answers in the order of the paper, and how long they took in all."""

    items: list[Answer]
    probe: list[Answer]
    wall_s: float


def contenders(train: Path, fetch: Path, index: Path, cache: Path) -> list[Contender]:
    """Return candidate, champion (where one was fetched) and base model, in this order, each with what it is shown.

    That is what it will serve, or serves, with: the base model has no index of its own and borrows the candidate's.
    Raises DataError for a model that was trained on another prompt than this release renders.
    """
    passages = _served_passages(train, "run `ratchet stage finetune.train` again")
    report, champion = read_object(train / "report.json"), read_object(fetch / "champion.json")
    base = resolve(str(report["base_model"]), cache)
    if base.digest != report["base_digest"]:
        raise DataError(f"{train} was trained on another version of {base.id!r} than the one here: train again.")
    found = [Contender("candidate", base, train / "adapter", index, passages)]
    if champion.get("digest"):
        advice = "serve it with the release that made it, or start anew with another RATCHET_STORE_URL"
        own, shown = resolve(champion["base"]["id"], cache), _served_passages(fetch, advice)
        found.append(Contender("champion", own, fetch / "adapter", fetch / "index", shown))
    return [*found, Contender("base", base, None, index, passages)]


def views(models: Sequence[Contender], threads: int) -> dict[str, View]:
    """Return, by model, its opened index; models with the same index share it. Raises DataError for a broken one."""
    opened = {index: Retriever.open(index, threads=threads) for index in {model.index for model in models}}
    shared = {retriever.version: retriever for retriever in opened.values()}
    return {model.name: View(shared[opened[model.index].version], model.passages) for model in models}


def weights(contender: Contender, engine: str, cache: Path) -> Path:
    """Return the model as the engine reads it, with its adapter merged in."""
    merge = merged_gguf if engine == "openvino" else merged_folder
    return merge(contender.base, contender.adapter, cache)


@dataclass(frozen=True)
class Desk:
    """Where a model sits its exam: by which engine, and the folder that keeps what was answered before."""

    spec: EngineSpec
    kept: Path
    progress: Progress


def answers(contender: Contender, paper: Paper, desk: Desk) -> Sheet:
    """Return the model's answers, kept ones where it answered the same paper on the same engine before.

    Raises ExternalError where every request failed; to say nothing is an answer.
    """
    prompts, limits = _prompts(contender, paper)
    kept = desk.kept / f"{_key(contender, desk.spec, prompts, limits)}.json"
    if kept.exists():
        logger.info("the %s has answered these prompts before: its answers are kept", contender.name)
        desk.progress.advance(len(prompts), contender.name)
        return _sheet(json.loads(kept.read_text(encoding="utf-8")), paper)
    started = time.monotonic()
    given = EngineProcesses(desk.spec).answer(
        prompts, limits, lambda _, __: desk.progress.advance(message=contender.name)
    )
    if not any(answer.status in LASTING for answer in given):
        raise ExternalError(
            f"The {desk.spec.engine} engine answered none of {len(prompts)} prompts for the {contender.name}: "
            "see the log for what its processes said, and run again."
        )
    notes = {"wall_s": time.monotonic() - started, "answers": [asdict(answer) for answer in given]}
    if all(answer.status in LASTING for answer in given):
        write_json(kept, notes)
        _prune(desk.kept)
    return _sheet(notes, paper)


def _prompts(contender: Contender, paper: Paper) -> tuple[list[str], list[int]]:
    """Return what the model is shown, in its own chat template, and the longest answer to each."""
    tokenizer = load_tokenizer(contender.base.folder)
    chats = [prompt.render([passage.text for passage in item.passages], item.question) for item in paper.items]
    chats += [[{"role": "user", "content": item.question}] for item in paper.probe]
    limits = [paper.answer_tokens] * len(paper.items) + [paper.probe_tokens] * len(paper.probe)
    return [tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) for chat in chats], limits


def _key(contender: Contender, spec: EngineSpec, prompts: Sequence[str], limits: Sequence[int]) -> str:
    """Return the digest of all that decides a sheet, the engine's version included."""
    version = metadata.version("openvino-genai" if spec.engine == "openvino" else "transformers")
    parts = [contender.digest, spec.fixed(), version, list(prompts), list(limits)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _sheet(notes: dict[str, Any], paper: Paper) -> Sheet:
    given, split = [Answer(**answer) for answer in notes["answers"]], len(paper.items)
    return Sheet(given[:split], given[split:], notes["wall_s"])


def _prune(folder: Path) -> None:
    files = sorted(folder.glob("*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files[KEPT_SHEETS:]:
        file.unlink(missing_ok=True)


def _served_passages(folder: Path, advice: str) -> int:
    """Return how many passages the model in the folder was trained on, which is how many it must be shown."""
    path = folder / "prompt.json"
    notes = read_object(path)
    if notes.get("digest") != prompt.digest():
        theirs, ours = str(notes.get("digest"))[:12], prompt.digest()[:12]
        raise DataError(f"{path} names the prompt {theirs}, this release renders {ours}: {advice}.")
    passages = notes.get("passages")
    if not isinstance(passages, int) or passages < 1:
        raise DataError(f"{path} does not say how many passages a prompt has: {advice}.")
    return passages
