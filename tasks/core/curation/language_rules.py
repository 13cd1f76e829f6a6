"""Decide whether a text is plainly in a language, and which part of it a language identifier should look at.

A text whose beginning holds several function words of a language is in it: that settles most texts at a thousandth of
a model's cost. The rest is judged by its prose alone, since signatures and code look like Latin or Estonian to a
model that counts letter groups.
"""

from collections.abc import Iterable

import polars as pl

FUNCTION_WORDS = {  # the first words of each row are nearly unique to the language, one of them must occur
    "en": (
        "the and with this that which from what how does",
        "of to is are be by it or not if for was when can do has",
    ),
    "de": ("und nicht der werden ist für auch eine", "die das ein mit auf von zu den dem wird sich bei oder"),
    "fr": ("les des une est dans pour avec cette", "le la et qui que sur pas du au par ou ce"),
    "es": ("los las una para con del como está", "el la que y por se un al es o su lo"),
}
MIN_FUNCTION_WORDS = 4
OPENING = 400  # characters in which function words are looked for
HEAD = 600  # characters looked at for prose; what is left of them without code is cut to PROSE
PROSE = 160
CODE_TOKEN = r"[!-~]*[0-9_()\[\]{}<>=/\\@#$%^&*+|~`][!-~]*"  # ASCII only: other scripts may have no spaces  # noqa: S105 (no secret)


def prose(texts: pl.Series) -> pl.Series:
    """Return the beginning of each text without what looks like code, on one line."""
    words = texts.str.slice(0, HEAD).str.replace_all(CODE_TOKEN, "").str.replace_all("\n", " ", literal=True)
    return words.str.strip_chars().str.slice(0, PROSE)


def num_letters(prose: pl.Series) -> pl.Series:
    """Return about how many letters each prose has: its characters but spaces."""
    return prose.str.len_chars() - prose.str.count_matches(" ", literal=True)


def plainly_in(texts: pl.Series, languages: Iterable[str]) -> pl.Series:
    """Return which texts hold enough function words of one of `languages` in their beginning."""
    lowered = texts.str.slice(0, OPENING).str.to_lowercase()
    plain = pl.repeat(False, len(texts), dtype=pl.Boolean, eager=True)
    for language in languages:
        if language in FUNCTION_WORDS:
            own, shared = (words.replace(" ", "|") for words in FUNCTION_WORDS[language])
            enough = lowered.str.count_matches(rf"(?-u:\b)(?:{own}|{shared})(?-u:\b)") >= MIN_FUNCTION_WORDS
            plain = plain | (enough & lowered.str.contains(rf"(?-u:\b)(?:{own})(?-u:\b)"))
    return plain
