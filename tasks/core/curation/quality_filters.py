"""Quality rules for documents: Gopher (Rae et al. 2021, appendix A1.1) and C4 (Raffel et al. 2020, section 2.2).

The papers' thresholds are for web pages and drop most technical documents (a signature is short, full of signs,
without a sentence). So every threshold is a parameter, its default is loose, and a rule that only makes sense for
prose is off (None). The papers' own value stands beside each. A text is dropped for the first rule it breaks, in the
order below.
"""

import polars as pl

from tasks.core.curation.text_statistics import measures
from tasks.core.stage import StageConfig


class QualityRules(StageConfig):
    """Thresholds; None switches a rule off."""

    min_words: int | None = 3
    """Gopher: 50."""
    max_words: int | None = 100_000
    """Gopher: 100,000."""
    min_mean_word_length: float | None = 2.0
    """Characters. Gopher: 3."""
    max_mean_word_length: float | None = 30.0
    """Gopher: 10; dotted names and paths are longer."""
    max_symbols_per_word: float | None = 0.5
    """'#' and ellipses to words. Gopher: 0.1."""
    max_bullet_line_share: float | None = None
    """Gopher: 0.9; reference lists are nothing else."""
    max_ellipsis_line_share: float | None = 0.5
    """Lines that end in an ellipsis, as teasers do. Gopher: 0.3."""
    min_letter_share: float | None = 0.3
    """Letters among characters; tables of numbers and dumps have few. Gopher: 0.8 of the words hold a letter."""
    max_repeated_line_share: float | None = 0.5
    """Lines that occurred before in the text. Gopher: 0.3 (table A1)."""
    min_lines_for_repetition: int = 8
    """Below so many lines repetition says nothing."""
    min_stop_words: int | None = None
    """Of the, be, to, of, and, that, have, with. Gopher: 2."""
    max_curly_brackets: int | None = None
    """C4: 0, to drop code; this product wants code."""
    min_sentences: int | None = None
    """Ends of sentences. C4: 5 sentences a page, 3 in datatrove's version."""
    drop_lorem_ipsum: bool = True
    """C4: drops pages with this placeholder text."""


BULLET_LINE = r"(?m)^[ \t]*(?:[-*+•‣◦]|[0-9]{1,3}[.)])[ \t]"
ELLIPSIS_LINE = r"(?m)(?:\.\.\.|…)$"
STOP_WORDS = r"(?-u:\b)(?:the|be|to|of|and|that|have|with)(?-u:\b)"  # Gopher, A1.1
LOREM_IPSUM = r"[Ll]orem [Ii]psum|LOREM IPSUM"
SENTENCE_END = r"[.!?](?:\s|\z)"


def broken_rule(texts: pl.Series, rules: QualityRules) -> pl.Series:
    """Return for each normalised text the name of the first rule it breaks, '' where it breaks none."""
    frame = measures(texts).with_columns(text=texts)
    reason = pl.lit("")
    for name, breaks in reversed(_checks(rules)):
        reason = pl.when(breaks).then(pl.lit(name)).otherwise(reason)
    return frame.select(reason=reason)["reason"]


def _checks(rules: QualityRules) -> list[tuple[str, pl.Expr]]:
    words, text = pl.col("words"), pl.col("text")
    a_word, a_line = pl.max_horizontal(words, 1), pl.max_horizontal(pl.col("lines"), 1)
    mean_length = pl.col("characters") / a_word
    repeated_share = pl.col("repeated_lines") / a_line * (pl.col("lines") >= rules.min_lines_for_repetition)
    return [
        ("too few words", _below(words, rules.min_words)),
        ("too many words", _above(words, rules.max_words)),
        ("short words", _below(mean_length, rules.min_mean_word_length)),
        ("long words", _above(mean_length, rules.max_mean_word_length)),
        ("symbols", _above((pl.col("hashes") + pl.col("ellipses")) / a_word, rules.max_symbols_per_word)),
        ("bullet lines", _above(text.str.count_matches(BULLET_LINE) / a_line, rules.max_bullet_line_share)),
        ("ellipsis lines", _above(text.str.count_matches(ELLIPSIS_LINE) / a_line, rules.max_ellipsis_line_share)),
        ("few letters", _below(pl.col("letters") / pl.max_horizontal("characters", 1), rules.min_letter_share)),
        ("repeated lines", _above(repeated_share, rules.max_repeated_line_share)),
        ("few stop words", _below(text.str.count_matches(STOP_WORDS), rules.min_stop_words)),
        ("curly brackets", _above(text.str.count_matches("{", literal=True), rules.max_curly_brackets)),
        ("few sentences", _below(text.str.count_matches(SENTENCE_END), rules.min_sentences)),
        ("lorem ipsum", text.str.contains(LOREM_IPSUM) if rules.drop_lorem_ipsum else pl.lit(False)),
    ]


def _below(measure: pl.Expr, threshold: float | None) -> pl.Expr:
    return pl.lit(False) if threshold is None else measure < threshold


def _above(measure: pl.Expr, threshold: float | None) -> pl.Expr:
    return pl.lit(False) if threshold is None else measure > threshold
