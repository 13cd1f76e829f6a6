"""Load the models of an evaluation: candidate, champion where there is one, and base model, each with its own index.

Reads the folders `train`, `fetch` and `index`. Each model is shown the passages of the index that it serves with: a
champion that lacks the new documents is measured without them. The base model has no index of its own and borrows the
candidate's. Caveat: a model whose prompt was another than this release renders is refused, not converted.
"""

from dataclasses import dataclass
from pathlib import Path

from tasks.adapters.evaluation.eval_set import RetrievalSetup
from tasks.adapters.models.base_model import BaseModel, resolve
from tasks.adapters.models.gguf_export import adapter_digest, merged_folder, merged_gguf
from tasks.adapters.retrieval.index import Retriever
from tasks.adapters.storage.json_files import read_object
from tasks.core.chat import prompt
from tasks.core.errors import DataError


@dataclass(frozen=True)
class EvaluatedModel:
    """A model under evaluation: a base model, its adapter if it has one, and what it retrieves its context from."""

    name: str
    base: BaseModel
    adapter: Path | None
    retrieval: RetrievalSetup

    @property
    def digest(self) -> str:
        """Digest of base model and adapter together."""
        return f"{self.base.digest}+{adapter_digest(self.adapter) if self.adapter else 'none'}"


def load_evaluated_models(
    train: Path, fetch: Path, index: Path, *, model_cache: Path, threads: int
) -> list[EvaluatedModel]:
    """Return candidate, champion (where one was fetched) and base model, in this order, with their indexes opened.

    Models whose indexes have the same version share one retriever. Raises DataError for a model that was trained on
    another prompt than this release renders, and for a broken index.
    """
    passages = _trained_passages(train, "run `ratchet stage finetune.train` again")
    report, champion = read_object(train / "report.json"), read_object(fetch / "champion.json")
    base = resolve(str(report["base_model"]), model_cache)
    if base.digest != report["base_digest"]:
        raise DataError(f"{train} was trained on another version of {base.id!r} than the one here: train again.")
    newest = RetrievalSetup(Retriever.open(index, threads=threads), passages)
    models = [EvaluatedModel("candidate", base, train / "adapter", newest)]
    if champion.get("digest"):
        champion_base = resolve(champion["base"]["id"], model_cache)
        retrieval = _champion_retrieval(fetch, newest, threads)
        models.append(EvaluatedModel("champion", champion_base, fetch / "adapter", retrieval))
    return [*models, EvaluatedModel("base", base, None, newest)]


def merged_weights(model: EvaluatedModel, engine: str, cache: Path) -> Path:
    """Return the model's weights in the engine's format, with its adapter merged in."""
    merge = merged_gguf if engine == "openvino" else merged_folder
    return merge(model.base, model.adapter, cache)


def _champion_retrieval(fetch: Path, newest: RetrievalSetup, threads: int) -> RetrievalSetup:
    """Return what the champion in `fetch` retrieves from; an index of the same version as the newest is that one."""
    advice = "serve it with the release that made it, or start anew with another RATCHET_STORE_URL"
    passages = _trained_passages(fetch, advice)
    own = Retriever.open(fetch / "index", threads=threads)
    return RetrievalSetup(newest.retriever if own.version == newest.retriever.version else own, passages)


def _trained_passages(folder: Path, advice: str) -> int:
    """Return how many passages the model in `folder` was trained on, which is how many it is shown.

    Raises DataError with `advice` where it was trained on another prompt than this release renders.
    """
    path = folder / "prompt.json"
    notes = read_object(path)
    if mismatch := prompt.mismatch(notes.get("digest")):
        raise DataError(f"{path} names the prompt {mismatch.trained}, this release renders {mismatch.ours}: {advice}.")
    passages = notes.get("passages")
    if not isinstance(passages, int) or passages < 1:
        raise DataError(f"{path} does not say how many passages a prompt has: {advice}.")
    return passages
