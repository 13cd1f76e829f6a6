"""Find contamination: texts that contain reserved ones (of eval and holdout), by the share of common word n-grams.

Method: overlap of word 13-grams, Brown et al. 2020 ("Language models are few-shot learners", appendix C), but decided
on the share of a reserved text's n-grams that one other text holds, as in Chowdhery et al. 2022 ("PaLM", section 8): a
sentence in common is no leak, most of a text is. An n-gram of more than ten reserved texts is boilerplate and counts
for nothing (Brown et al.). Caveats: a paraphrase is not seen; the index takes about 20 bytes a reserved word.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

SIZE = 13  # Brown et al. 2020, appendix C
BOILERPLATE = 10  # ditto
_SEED = 7
_ODD = np.uint64(0x9E3779B97F4A7C15)
_BLOCK_TEXTS = 1024  # so many texts' n-grams stay in the processor's cache


@dataclass(frozen=True)
class Grams:
    """`hashes[i]` is an n-gram of text number `texts[i]`; texts ascend, and a repeated n-gram comes repeatedly."""

    hashes: NDArray[np.uint64]
    texts: NDArray[np.int64]


@dataclass(frozen=True)
class Match:
    """Text `row` holds `share` of the n-grams of the reserved text `reserved`."""

    row: int
    reserved: int
    share: float


def grams_of(texts: pl.Series, *, size: int = SIZE, first: int = 0) -> Grams:
    """Return the n-grams of texts that are numbered from `first` on.

    A text of fewer than `size` words is one n-gram, a text without words and a null have none.
    """
    parts = [
        _grams(texts[start : start + _BLOCK_TEXTS], size, first + start) for start in range(0, len(texts), _BLOCK_TEXTS)
    ]
    return _joined(parts)


class Reserve:
    """The n-grams of all reserved texts, ready to be found in others."""

    def __init__(self, parts: Sequence[Grams], *, boilerplate: int = BOILERPLATE) -> None:
        """Take the n-grams of batches of texts, numbered on from batch to batch."""
        joined = _distinct(_joined(parts))
        _, inverse, counts = np.unique(joined.hashes, return_inverse=True, return_counts=True)
        rare = counts[inverse] <= boilerplate
        self._hashes, self._texts = joined.hashes[rare], joined.texts[rare]
        self._sizes = np.bincount(self._texts)
        self._shift = np.uint64(64 - max(16, min(30, len(self._hashes).bit_length() + 4)))
        self._maybe = np.zeros(1 << (64 - int(self._shift)), dtype=np.bool_)
        self._maybe[self._hashes >> self._shift] = True

    def __len__(self) -> int:
        """Return how many n-grams count."""
        return len(self._hashes)

    def matches(self, texts: pl.Series, *, min_share: float, size: int = SIZE) -> list[Match]:
        """Return the reserved texts of which a text holds at least `min_share`, by text and then by reserved text."""
        return [
            match
            for start in range(0, len(texts), _BLOCK_TEXTS)
            for match in self._matches(_grams(texts[start : start + _BLOCK_TEXTS], size, start), min_share)
        ]

    def _matches(self, grams: Grams, min_share: float) -> Iterator[Match]:
        maybe = self._maybe[grams.hashes >> self._shift]  # one look instead of a binary search, for nearly all
        grams = _distinct(Grams(grams.hashes[maybe], grams.texts[maybe]))
        low = np.searchsorted(self._hashes, grams.hashes, side="left")
        hits = np.searchsorted(self._hashes, grams.hashes, side="right") - low
        rows = np.repeat(grams.texts, hits)
        reserved = self._texts[np.repeat(low - (np.cumsum(hits) - hits), hits) + np.arange(len(rows))]
        pairs, shared = np.unique(rows * len(self._sizes) + reserved, return_counts=True)
        for pair, count in zip(pairs.tolist(), shared.tolist(), strict=True):
            row, other = divmod(pair, len(self._sizes))
            share = count / int(self._sizes[other])
            if share >= min_share:
                yield Match(row, other, share)


def _grams(texts: pl.Series, size: int, first: int) -> Grams:
    words = texts.str.to_lowercase().str.extract_all(r"\w+")
    counts = words.list.len().fill_null(0).to_numpy().astype(np.int64)
    hashes = words.explode(empty_as_null=False, keep_nulls=False).hash(_SEED).to_numpy()
    num_grams = np.where(counts > 0, np.maximum(counts - size + 1, 1), 0)
    starts = np.cumsum(counts) - counts
    rows = np.repeat(np.arange(len(texts)), num_grams)
    at = np.arange(len(rows)) + np.repeat(starts - (np.cumsum(num_grams) - num_grams), num_grams)
    found = _rolled(hashes, size)[at]
    is_short = (counts > 0) & (counts < size)
    found[(np.cumsum(num_grams) - num_grams)[is_short]] = [
        _rolled(hashes[start : start + count], int(count))[0]
        for start, count in zip(starts[is_short], counts[is_short], strict=True)
    ]
    return Grams(found, rows + first)


def _rolled(hashes: NDArray[np.uint64], size: int) -> NDArray[np.uint64]:
    """Return the hash of the `size` words from each word on; the last `size - 1` values mean nothing."""
    num_windows = max(len(hashes) - size + 1, 0)
    rolled = np.zeros(len(hashes), dtype=np.uint64)
    windows = rolled[:num_windows]
    for place in range(size if num_windows else 0):
        windows *= _ODD
        windows += hashes[place : place + num_windows]
    rolled ^= rolled >> np.uint64(32)
    rolled *= _ODD
    return rolled


def _joined(parts: Sequence[Grams]) -> Grams:
    hashes = np.concatenate([np.empty(0, np.uint64), *(part.hashes for part in parts)])
    return Grams(hashes, np.concatenate([np.empty(0, np.int64), *(part.texts for part in parts)]))


def _distinct(grams: Grams) -> Grams:
    """Return each n-gram once a text, by hash and then by text."""
    order = np.argsort(grams.hashes, kind="stable")  # texts ascend already
    hashes, texts = grams.hashes[order], grams.texts[order]
    is_new = np.ones(len(hashes), dtype=np.bool_)
    is_new[1:] = (hashes[1:] != hashes[:-1]) | (texts[1:] != texts[:-1])
    return Grams(hashes[is_new], texts[is_new])
