"""Counts over a column of normalised texts: words, letters, lines, repetitions.

Words are counted from the bytes of all texts at once: laid end to end as UTF-8, classes of bytes are looked up in a
table and positions counted by text. Bytes above 127 count as letters, continuation bytes not at all, so that lengths
are in characters.
"""

import numpy as np
import polars as pl

SPACE, LETTER = 1, 2

_CLASS = bytes(
    SPACE if code in b"\t\n\x0b\x0c\r " else LETTER if code > 127 or chr(code).isalpha() else 0 for code in range(256)
)


def measures(texts: pl.Series) -> pl.DataFrame:
    """Return for each text its counts.

    Columns: characters (no space), words, alphabetic_words (with a letter), hashes, ellipses, lines (not blank),
    repeated_lines.
    """
    text = pl.col("text")
    blank = text.str.count_matches("\n\n", literal=True)
    lines = text.str.split("\n")
    counted = pl.DataFrame({"text": texts}).select(
        ellipses=text.str.count_matches("...", literal=True) + text.str.count_matches("…", literal=True),
        lines=text.str.count_matches("\n", literal=True) + 1 - blank,
        distinct_lines=lines.list.n_unique() - (blank > 0).cast(pl.UInt32),
    )
    repeated = counted["lines"].cast(pl.Int64) - counted["distinct_lines"].cast(pl.Int64)
    return pl.concat([_word_counts(texts), counted.drop("distinct_lines")], how="horizontal").with_columns(
        repeated_lines=repeated
    )


def _word_counts(texts: pl.Series) -> pl.DataFrame:
    joined = b"\n".join([b"", *texts.cast(pl.Binary).to_list(), b""])
    data = np.frombuffer(joined, dtype=np.uint8)
    bounds = np.concatenate([[0], np.cumsum(texts.str.len_bytes().to_numpy().astype(np.int64) + 1)]) + 1
    kinds = np.frombuffer(joined.translate(_CLASS), dtype=np.uint8)
    is_space = kinds == SPACE
    word_starts = np.flatnonzero(is_space[:-1] > is_space[1:]) + 1
    spaces = _by_text(np.flatnonzero(is_space), bounds) - 1  # but the line end between texts
    has_letter = np.maximum.reduceat(kinds, word_starts) >= LETTER if len(word_starts) else np.zeros(0, dtype=bool)
    return pl.DataFrame(
        {
            "characters": texts.str.len_chars().to_numpy().astype(np.int64) - spaces,
            "words": _by_text(word_starts, bounds),
            "alphabetic_words": _by_text(word_starts[has_letter], bounds),
            "hashes": _by_text(np.flatnonzero(data == ord("#")), bounds),
        }
    )


def _by_text(positions: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Return how many of the sorted `positions` lie in each text."""
    return np.diff(np.searchsorted(positions, bounds))
