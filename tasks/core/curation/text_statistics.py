"""Counts over a column of normalised texts: words, letters, lines, repetitions.

Words and letters are counted from the bytes of all texts at once: laid end to end as UTF-8, bytes are translated to
their class, and positions are counted by text. What is not ASCII counts as a letter.
"""

import numpy as np
import polars as pl

OTHER, SPACE, LETTER = 0, 1, 2
NEW_LINE, HASH = ord("\n"), ord("#")
SLICE = 1024  # texts looked at together: about as many bytes as a core's cache holds

_CLASS = bytes(
    SPACE if code in b"\t\n\x0b\x0c\r " else LETTER if code >= 0xC0 or (chr(code).isalpha() and code < 128) else OTHER
    for code in range(256)
)


def measures(texts: pl.Series) -> pl.DataFrame:
    """Return for each text its counts.

    Columns: characters (no space), letters, words, hashes, ellipses, lines (not blank), repeated_lines.
    """
    slices = [_byte_counts(texts.slice(start, SLICE)) for start in range(0, max(len(texts), 1), SLICE)]
    lines, blank_lines = pl.col("lines"), pl.col("blank_lines")
    return (
        pl.concat(slices)
        .with_columns(
            ellipses=texts.str.count_matches(r"\.\.\.|…"),
            repeated_lines=lines
            - texts.str.split("\n").list.n_unique()
            - blank_lines
            + (blank_lines > 0).cast(pl.Int64),
        )
        .with_columns(lines=lines - blank_lines)
        .drop("blank_lines")
    )


def _byte_counts(texts: pl.Series) -> pl.DataFrame:
    joined = b"\n".join([b"", *texts.cast(pl.Binary).to_list(), b""])
    data, kinds = (np.frombuffer(some, dtype=np.uint8) for some in (joined, joined.translate(_CLASS)))
    bounds = np.concatenate([[0], np.cumsum(texts.str.len_bytes().to_numpy().astype(np.int64) + 1)]) + 1
    is_space = kinds == SPACE
    line_ends = np.flatnonzero(data == NEW_LINE)
    letters = (
        np.add.reduceat((kinds == LETTER).view(np.uint8), bounds[:-1], dtype=np.uint32) if len(texts) else bounds[:0]
    )
    counts = {
        "characters": texts.str.len_chars().to_numpy() - (_by_text(np.flatnonzero(is_space), bounds) - 1),
        "letters": letters,
        "words": _by_text(np.flatnonzero(is_space[:-1] > is_space[1:]) + 1, bounds),
        "hashes": _by_text(np.flatnonzero(data == HASH), bounds),
        "lines": _by_text(line_ends, bounds),  # the one behind the text included
        "blank_lines": _by_text(line_ends[1:][np.diff(line_ends) == 1], bounds),
    }
    return pl.DataFrame({name: count.astype(np.int64) for name, count in counts.items()})


def _by_text(positions: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Return how many of the sorted `positions` lie in each text."""
    return np.diff(np.searchsorted(positions, bounds))
