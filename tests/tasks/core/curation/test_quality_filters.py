"""Quality rules: each drops its own kind of text, and technical documentation stays."""

import pydoc_data.topics

import polars as pl
import pytest

from tasks.core.curation.quality_filters import QualityRules, broken_rule

OFF = dict.fromkeys(QualityRules.model_fields, None) | {"min_lines_for_repetition": 8, "drop_lorem_ipsum": False}
PAPER = QualityRules(  # Gopher's own thresholds, its share of alphabetic words aside
    min_words=50,
    min_mean_word_length=3,
    max_mean_word_length=10,
    max_symbols_per_word=0.1,
    max_bullet_line_share=0.9,
    max_ellipsis_line_share=0.3,
    min_letter_share=0.7,
    max_repeated_line_share=0.3,
    min_stop_words=2,
)
PROSE = "The function returns a list of names, and that list can be changed by the caller. " * 3


def only(**rule: object) -> QualityRules:
    """Return rules of which one is on."""
    return QualityRules.model_validate(OFF | rule)


def broken(text: str, rules: QualityRules) -> str:
    """Return the rule that `text` breaks."""
    result: str = broken_rule(pl.Series([text]), rules)[0]
    return result


@pytest.mark.parametrize(
    ("rules", "bad", "good", "reason"),
    [
        (only(min_words=3), "two words", "now three words", "too few words"),
        (only(max_words=3), "there are four words", "now three words", "too many words"),
        (only(min_mean_word_length=2), "a b c d e", "ab cd ef", "short words"),
        (only(max_mean_word_length=5), "abcdefgh", "abcde", "long words"),
        (only(max_symbols_per_word=0.1), "# # so ... what", PROSE, "symbols"),
        (only(max_bullet_line_share=0.5), "- a\n* b\n1. c", "a\n- b", "bullet lines"),
        (only(max_ellipsis_line_share=0.5), "read ...\nmore …", "read ...\nmore", "ellipsis lines"),
        (only(min_letter_share=0.5), "12345 four", "1 two", "few letters"),
        (only(max_repeated_line_share=0.5), "same\n" * 9 + "end", "same\n" * 4 + "end", "repeated lines"),
        (only(min_stop_words=2), "Colourless green ideas", "the ideas of", "few stop words"),
        (only(max_curly_brackets=0), "if (x) { y }", "if x: y", "curly brackets"),
        (only(min_sentences=2), "One. only", "One. Two.", "few sentences"),
        (only(drop_lorem_ipsum=True), "Lorem ipsum dolor sit", "Ipsum est", "lorem ipsum"),
    ],
)
def test_each_rule_drops_its_kind_of_text(rules: QualityRules, bad: str, good: str, reason: str) -> None:
    assert broken(bad, rules) == reason
    assert broken(good, rules) == ""


def test_the_first_broken_rule_is_the_reason() -> None:
    assert broken("12", QualityRules()) == "too few words"


def test_switched_off_rules_drop_nothing() -> None:
    assert broken("", only()) == ""


def test_pythons_own_reference_stays_by_default_though_the_papers_thresholds_drop_a_part() -> None:
    topics = pl.Series(list(pydoc_data.topics.topics.values()))
    assert (broken_rule(topics, QualityRules()) == "").all()
    assert (broken_rule(topics, PAPER) != "").mean() > 0.05
