"""Patterns, groups with a gate, and overlaps."""

import re

import polars as pl

from tasks.core.privacy.spans import (
    Pattern,
    PatternGroup,
    PlainPattern,
    Span,
    starts_word,
    without_overlaps,
)

DIGITS = Pattern("N", r"(?P<number>[0-9]{3})")


def test_a_refused_match_does_not_hide_a_later_one_that_overlaps_it() -> None:
    late = Pattern("N", r"[0-9]{3}", lambda match: match.span() if match.group() == "123" else None)
    assert list(late.find("0123")) == [Span(1, 4, "N")]


def test_empty_bounds_skip_the_whole_match() -> None:
    skipping = Pattern("N", r"[0-9]+", lambda match: (match.end(), match.end()))
    assert list(skipping.find("0123 45")) == []


def test_a_match_that_touches_a_word_is_no_match_by_default() -> None:
    assert list(DIGITS.find("a123 123b 123")) == [Span(10, 13, "N")]


def test_a_group_with_a_gate_looks_only_around_it_and_finds_the_same() -> None:
    text = f"{'x ' * 200}555 {'y ' * 200}777 and 888"
    assert list(PatternGroup((DIGITS,), gate="[0-9]").find(text)) == list(PatternGroup((DIGITS,)).find(text))


def test_a_group_suspects_texts_that_any_of_its_patterns_may_match() -> None:
    texts = pl.Series(["123", "x", None, "a-b"])
    group = PatternGroup((DIGITS, Pattern("D", "a-b")), gate="[0-9]|-")
    assert group.suspects(texts).to_list() == [True, False, False, True]
    assert PatternGroup((DIGITS,)).suspects(texts).to_list() == [True, False, None, False]


def test_a_users_pattern_looks_at_every_text_and_ignores_empty_matches() -> None:
    own = PlainPattern("X", re.compile(r"(?<=a)b*"))
    assert own.suspects(pl.Series(["", "q"])).to_list() == [True, True]
    assert list(own.find("a ab")) == [Span(3, 4, "X")]


def test_of_two_spans_that_overlap_the_class_first_in_priority_stays_then_the_longer() -> None:
    spans = [Span(0, 9, "B"), Span(5, 12, "A"), Span(12, 14, "C"), Span(12, 15, "C"), Span(20, 21, "Z")]
    assert without_overlaps(spans, ["A", "B", "C"]) == [Span(5, 12, "A"), Span(12, 15, "C"), Span(20, 21, "Z")]


def test_a_word_starts_behind_space_or_sign() -> None:
    assert starts_word("ab", 0)
    assert starts_word("a-b", 2)
    assert not starts_word("ab", 1)
