"""Counts agree with counting in Python."""

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.curation.normalisation import normalise
from tasks.core.curation.text_statistics import measures

texts = st.lists(st.text(st.sampled_from("ab1# \n.…é世-\t"), max_size=60), min_size=1, max_size=6)


def is_letter(character: str) -> bool:
    """Return what counts as a letter: ASCII letters, and all that is not ASCII."""
    return character.isalpha() if character.isascii() else True


@given(texts)
@settings(deadline=None)
def test_counts_are_those_of_a_loop_over_the_text(raw: list[str]) -> None:
    plain = normalise(pl.Series(raw))
    for text, row in zip(plain.to_list(), measures(plain).iter_rows(named=True), strict=True):
        words = text.split()
        lines = [line for line in text.split("\n") if line]
        assert row["words"] == len(words)
        assert row["characters"] == sum(map(len, words))
        assert row["letters"] == sum(map(is_letter, text))
        assert row["hashes"] == text.count("#")
        assert row["ellipses"] == text.count("...") + text.count("…")
        assert row["lines"] == len(lines)
        assert row["repeated_lines"] == len(lines) - len(set(lines))


def test_no_texts_give_no_rows() -> None:
    assert measures(pl.Series([], dtype=pl.String)).height == 0
