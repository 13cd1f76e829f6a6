"""Find near copies of texts: MinHash signatures, banding, verification, and one kept twin for each copy.

Method: MinHash, Broder 1997 ("On the resemblance and containment of documents"), on word n-grams, with linear
permutations of 32-bit hashes; locality-sensitive hashing by bands, Leskovec, Rajaraman and Ullman, Mining of Massive
Datasets, 3.4: with b bands of r rows a pair of similarity s is found with probability 1-(1-s^r)^b. One-permutation
hashing (Li, Owen and Zhang 2012) is no faster here and less exact on short texts. The contract a cluster would map
over its data is `signatures(texts) -> uint32[n, 112]`: pure and seeded. Caveat: words are hashed by polars, so
signatures may be compared only between equal versions of polars.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

PERMUTATIONS = 112
BANDS = 16
SEED = 42
THRESHOLD = 0.75

UInt32 = NDArray[np.uint32]
UInt64 = NDArray[np.uint64]
Int64 = NDArray[np.int64]
Bools = NDArray[np.bool_]

_BLOCK_TEXTS = 1024  # so many texts' hashes stay in the processor's cache
_BLOCK_HASHES = 1 << 17
_BLOCK_PAIRS = 1 << 15
_ODD = np.random.default_rng(SEED).integers(1, 2**63, 32, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


@dataclass(frozen=True)
class Fingerprints:
    """What near and exact copies are found by; row i belongs to text i."""

    keys: UInt64
    """[n, 2]: equal for texts whose words are the same but for case and whitespace."""
    signatures: UInt32
    """[n, 112]: the share of equal columns estimates the similarity, with deviation sqrt(s(1-s)/112)."""


def fingerprint(texts: pl.Series, *, size: int = 5) -> Fingerprints:
    """Return keys and signatures over n-grams of `size` words; a text with fewer words has one n-gram, itself."""
    keys = np.empty((len(texts), 2), dtype=np.uint64)
    signed = np.empty((len(texts), PERMUTATIONS), dtype=np.uint32)
    for start in range(0, len(texts), _BLOCK_TEXTS):
        block = slice(start, start + _BLOCK_TEXTS)
        words, counts = _word_hashes(texts[block])
        keys[block] = _keys(words, counts)
        shingles, num_shingles = _shingles(words, counts, keys[block, 0], size)
        signed[block] = _minima(shingles, num_shingles)
    return Fingerprints(keys, signed)


def signatures(texts: pl.Series, *, size: int = 5) -> UInt32:
    """Return the MinHash signatures, uint32[n, 112]; equal texts have equal rows in every process."""
    return fingerprint(texts, size=size).signatures


def similarity(signatures: UInt32, first: Int64, second: Int64) -> NDArray[np.float64]:
    """Return the estimated Jaccard similarity of each pair of rows."""
    shared = np.empty(len(first), dtype=np.int64)
    for at in range(0, len(first), _BLOCK_PAIRS):
        block = slice(at, at + _BLOCK_PAIRS)
        shared[block] = np.count_nonzero(signatures[first[block]] == signatures[second[block]], axis=1)
    return shared / PERMUTATIONS


def first_of_equals(keys: UInt64) -> Int64:
    """Return for each row the first row with the same key."""
    order = np.lexsort((keys[:, 1], keys[:, 0]))  # stable: equals stay in input order
    ordered = keys[order]
    starts = np.flatnonzero(np.r_[True, (ordered[1:] != ordered[:-1]).any(axis=1)]) if len(keys) else order
    first = np.empty(len(keys), dtype=np.int64)
    first[order] = np.repeat(order[starts], np.diff(np.r_[starts, len(keys)]))
    return first


def candidate_pairs(signatures: UInt32, rows: Int64, guards: UInt64, *, bands: int = BANDS) -> tuple[Int64, Int64]:
    """Return the pairs (earlier row, later row) among `rows` that agree in a whole band and in their guard.

    In each bucket a row is paired with the first and with its neighbour, so the pairs grow with the rows, not their
    square.
    """
    width = PERMUTATIONS // bands
    found = [np.empty(0, dtype=np.uint64)]
    for band in range(bands):
        key = guards[rows]
        for column in range(band * width, (band + 1) * width):
            key = (key ^ signatures[rows, column]) * _ODD[column - band * width]
            key ^= key >> np.uint64(29)
        found.append(_bucket_pairs(key, rows))
    pairs = np.unique(np.concatenate(found))
    first, second = (pairs >> np.uint64(32)).astype(np.int64), (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)
    agree = guards[first] == guards[second]
    return first[agree], second[agree]


def kept_twins(
    signatures: UInt32, rows: Int64, guards: UInt64, *, threshold: float = THRESHOLD, bands: int = BANDS
) -> Int64:
    """Return for each row of `signatures` the row kept instead of it: itself, or an earlier, verified near copy.

    Rows are taken in order, so that the first of a cluster is kept. A row is a copy only of a kept row it is itself
    similar to: a chain of small changes does not join its two ends, as plain connected components would.
    """
    first, second = candidate_pairs(signatures, rows, guards, bands=bands)
    near = similarity(signatures, first, second) >= threshold
    first, second = first[near], second[near]
    order = np.lexsort((first, second))
    twin = np.arange(len(signatures))
    for earlier, later in zip(first[order].tolist(), second[order].tolist(), strict=True):
        kept = twin[earlier]
        if twin[later] != later:
            continue
        if kept == earlier or np.count_nonzero(signatures[kept] == signatures[later]) >= threshold * PERMUTATIONS:
            twin[later] = kept
    return twin


def _word_hashes(texts: pl.Series) -> tuple[UInt64, Int64]:
    """Return the hashes of all words, and how many (at least one) each text has."""
    words = texts.str.to_lowercase().str.extract_all(r"\S+")
    counts = np.maximum(words.list.len().to_numpy().astype(np.int64), 1)
    return words.explode(empty_as_null=True).fill_null("").hash(seed=SEED).to_numpy(), counts


def _keys(words: UInt64, counts: Int64) -> UInt64:
    starts = np.cumsum(counts) - counts
    places = (np.arange(len(words)) - np.repeat(starts, counts)).astype(np.uint64)
    placed = (words ^ (places * _ODD[0])) * _ODD[1]
    placed ^= placed >> np.uint64(32)
    sums = [np.add.reduceat(placed * odd, starts) ^ counts.astype(np.uint64) for odd in (_ODD[2], _ODD[3])]
    return np.stack(sums, axis=1)


def _shingles(words: UInt64, counts: Int64, keys: UInt64, size: int) -> tuple[UInt32, Int64]:
    """Return the hashes of all n-grams, and how many (at least one) each text has."""
    num_windows = max(len(words) - size + 1, 0)
    rolled = np.zeros(num_windows, dtype=np.uint64)
    for place in range(size):
        rolled *= _ODD[4]
        rolled += words[place : place + num_windows]
    rolled = np.concatenate([rolled, np.zeros(len(words) - num_windows, dtype=np.uint64)])
    num_shingles = np.maximum(counts - size + 1, 1)
    ends = np.cumsum(num_shingles)
    starts = np.cumsum(counts) - counts
    hashes = rolled[np.arange(ends[-1]) + np.repeat(starts - (ends - num_shingles), num_shingles)]
    is_short = counts < size
    hashes[(ends - num_shingles)[is_short]] = keys[is_short]
    hashes ^= hashes >> np.uint64(32)
    hashes *= _ODD[5]
    return (hashes >> np.uint64(32)).astype(np.uint32), num_shingles


def _minima(hashes: UInt32, counts: Int64) -> UInt32:
    """Return the least value of each permutation a*x+b mod 2^32 over each text's hashes."""
    rng = np.random.default_rng(SEED)
    factors = rng.integers(0, 2**31, PERMUTATIONS, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    offsets = rng.integers(0, 2**32, PERMUTATIONS, dtype=np.uint32)
    ends = np.cumsum(counts)
    minima = np.empty((PERMUTATIONS, len(counts)), dtype=np.uint32)
    low = 0
    while low < len(counts):
        begin = ends[low] - counts[low]
        high = max(int(np.searchsorted(ends, begin + _BLOCK_HASHES, side="right")), low + 1)
        block, starts = hashes[begin : ends[high - 1]], ends[low:high] - counts[low:high] - begin
        permuted = np.empty_like(block)
        for number in range(PERMUTATIONS):
            np.multiply(block, factors[number], out=permuted)
            np.add(permuted, offsets[number], out=permuted)
            np.minimum.reduceat(permuted, starts, out=minima[number, low:high])
        low = high
    return minima.T


def _bucket_pairs(keys: UInt64, rows: Int64) -> UInt64:
    """Return pairs of rows with the same key, packed as earlier << 32 | later; `rows` ascend."""
    order = np.argsort(keys, kind="stable")
    ordered, members = keys[order], rows[order].astype(np.uint64)
    same = ordered[1:] == ordered[:-1]
    starts = np.flatnonzero(np.r_[True, ~same]) if len(keys) else order
    firsts = np.repeat(members[starts], np.diff(np.r_[starts, len(keys)]))
    with_first = firsts != members
    high = np.concatenate([firsts[with_first], members[:-1][same]])
    low = np.concatenate([members[with_first], members[1:][same]])
    return np.unique(high << np.uint64(32) | low)
