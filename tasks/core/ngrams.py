"""Which reserved texts (of eval and holdout) other texts contain: word n-grams and the share of them that is found.

Method: overlap of word 13-grams, Brown et al. 2020 ("Language models are few-shot learners", appendix C), but decided
on the share of a reserved text's n-grams that one other text holds, as in Chowdhery et al. 2022 ("PaLM", section 8):
a sentence in common is no leak, most of a text is. An n-gram of more than ten reserved texts is boilerplate and
counts for nothing (Brown et al.). Caveat: a paraphrase is not seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

SIZE = 13  # Brown et al. 2020, appendix C
BOILERPLATE = 10  # ditto
_SEED = 7
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Grams:
    """Distinct n-grams by text: `hashes[i]` occurs in text number `texts[i]`."""

    hashes: NDArray[np.uint64]
    texts: NDArray[np.int64]


@dataclass(frozen=True)
class Match:
    """Text `row` holds `share` of the n-grams of the reserved text `reserved`."""

    row: int
    reserved: int
    share: float


def grams_of(texts: pl.Series, *, size: int = SIZE) -> Grams:
    """Return the n-grams of each text; a text of fewer than `size` words is one n-gram, a null has none."""
    words = texts.str.to_lowercase().str.extract_all(r"\w+")
    counts = words.list.len().fill_null(0).to_numpy().astype(np.int64)
    hashes = words.filter(words.list.len() > 0).explode().hash(_SEED).to_numpy()
    lengths = np.minimum(np.maximum(counts, 1), size)
    num_grams = np.where(counts > 0, np.maximum(counts - size + 1, 1), 0)
    rows = np.repeat(np.arange(len(texts)), num_grams)
    first = np.cumsum(num_grams) - num_grams
    starts = (np.cumsum(counts) - counts)[rows] + np.arange(len(rows)) - first[rows]
    rolled = np.zeros(len(rows), dtype=np.uint64)
    for place in range(size):
        inside = place < lengths[rows]
        rolled[inside] = rolled[inside] * _ODD + hashes[starts[inside] + place]
    rolled ^= rolled >> np.uint64(32)
    return _distinct(rolled, rows)


class Reserve:
    """The n-grams of all reserved texts, ready to be found in others."""

    def __init__(self, parts: Sequence[Grams], *, boilerplate: int = BOILERPLATE) -> None:
        """Take the n-grams of batches of texts; texts are numbered on from batch to batch by the caller."""
        hashes = np.concatenate([part.hashes for part in parts] or [np.empty(0, np.uint64)])
        texts = np.concatenate([part.texts for part in parts] or [np.empty(0, np.int64)])
        order = np.lexsort((texts, hashes))
        hashes, texts = hashes[order], texts[order]
        _, inverse, counts = np.unique(hashes, return_inverse=True, return_counts=True)
        rare = counts[inverse] <= boilerplate
        self._hashes, self._texts = hashes[rare], texts[rare]
        self._sizes = np.bincount(self._texts) if len(self._texts) else np.zeros(0, np.int64)

    def __len__(self) -> int:
        """Return how many n-grams count."""
        return len(self._hashes)

    def matches(self, grams: Grams, *, least_share: float) -> list[Match]:
        """Return the reserved texts of which a text holds at least `least_share`, by text and then by reserved text."""
        low = np.searchsorted(self._hashes, grams.hashes, side="left")
        hits = np.searchsorted(self._hashes, grams.hashes, side="right") - low
        if not hits.any():
            return []
        rows = np.repeat(grams.texts, hits)
        first = np.cumsum(hits) - hits
        reserved = self._texts[np.repeat(low - first, hits) + np.arange(len(rows))]
        pairs, shared = np.unique(np.stack([rows, reserved]), axis=1, return_counts=True)
        shares = shared / self._sizes[pairs[1]]
        found = np.flatnonzero(shares >= least_share)
        return [Match(int(pairs[0, at]), int(pairs[1, at]), float(shares[at])) for at in found]


def _distinct(hashes: NDArray[np.uint64], rows: NDArray[np.int64]) -> Grams:
    order = np.lexsort((hashes, rows))
    hashes, rows = hashes[order], rows[order]
    if not len(rows):
        return Grams(hashes, rows)
    is_new = np.r_[True, (hashes[1:] != hashes[:-1]) | (rows[1:] != rows[:-1])]
    return Grams(hashes[is_new], rows[is_new])
