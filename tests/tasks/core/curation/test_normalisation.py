"""Normalisation keeps what carries meaning, and a second time changes nothing."""

import unicodedata

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.curation import normalisation
from tasks.core.curation.normalisation import normalise


def plain(text: str) -> str:
    """Return one text normalised."""
    result: str = normalise(pl.Series([text]))[0]
    return result


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Cafe\u0301", "Café"),
        ("a\u00a0b\u2003c", "a b c"),
        ("one\r\ntwo\rthree\x0bfour\u2028five", "one\ntwo\nthree\nfour\nfive"),
        ("be\u00adfore\u200b \ufeffafter\x00\x07", "before after"),
        ("left\u202eright\u2069", "leftright"),
        ("def f():  \n\n\n\n    return 1\t\n", "def f():\n\n    return 1"),
        ("\n  \n    indented first line", "    indented first line"),
        ("a  b\tc", "a  b\tc"),
        ("f(x)   -> int\n  x   the value", "f(x)   -> int\n  x   the value"),
        ("👩\u200d💻", "👩\u200d💻"),
        ("", ""),
        (" \n\t\n", ""),
    ],
)
def test_characters_and_lines(text: str, normal: str) -> None:
    assert plain(text) == normal


TROUBLE = st.text(st.sampled_from(" \n\t\r\x00\u00a0\u0301ae\u200b\u2028A\u030a\u212b"), max_size=30)


@given(st.text(max_size=60) | TROUBLE)
@settings(deadline=None)
def test_normalising_twice_changes_nothing_and_gives_nfc(text: str) -> None:
    once = plain(text)
    assert plain(once) == once
    assert unicodedata.is_normalized("NFC", once)


def test_every_character_that_nfc_changes_or_joins_is_sent_through_it() -> None:
    codes = (*range(0xD800), *range(0xE000, 0x20000), *range(0x2F800, 0x2FA20))  # what lies between is CJK
    every = [chr(code) for code in codes]
    is_sent = dict(zip(every, pl.Series(every).str.contains(normalisation.MAY_COMPOSE), strict=True))
    assert [c for c in every if not is_sent[c] and not unicodedata.is_normalized("NFC", c)] == []
    pairs = [unicodedata.decomposition(c).split() for c in every if not unicodedata.decomposition(c).startswith("<")]
    assert all(is_sent[chr(int(pair[1], 16))] for pair in pairs if len(pair) == 2)


def test_nulls_stay_nulls() -> None:
    assert normalise(pl.Series(["a ", None, "é"], dtype=pl.String)).to_list() == ["a", None, "é"]


def test_a_title_is_one_line() -> None:
    assert normalisation.one_line(pl.Series(["  json\n .dumps  ", "x"])).to_list() == ["json .dumps", "x"]


def test_lines_that_match_a_pattern_go_as_a_whole() -> None:
    pattern = normalisation.boilerplate_pattern(["accept cookies", r"page \d+"])
    text = "Accept Cookies.\nPage 3\nOn page 3 we accept cookies gladly.\nend\n  page 7"
    assert normalisation.without_lines(pl.Series([text]), pattern)[0] == "On page 3 we accept cookies gladly.\nend"


def test_outer_lines_are_those_at_both_ends_of_longer_texts() -> None:
    outer = normalisation.outer_lines(pl.Series(["a\nb\nc\nd\ne", "a\nb"]), 2)
    assert outer.to_dicts() == [{"row": 0, "head": ["a", "b"], "tail": ["d", "e"]}]


def test_headers_and_footers_go_only_at_the_ends() -> None:
    text = "Menu\nHome\nMenu is a word\nbody\nFooter"
    assert normalisation.without_outer_lines(text, {"Menu", "Home"}, {"Footer"}, 3) == "Menu is a word\nbody"
    assert normalisation.without_outer_lines("Menu\nbody\nMenu", {"Menu"}, set(), 3) == "body\nMenu"
    assert normalisation.without_outer_lines("Menu", {"Menu"}, {"Menu"}, 3) == ""


def test_a_quotation_loses_the_lines_its_text_lost() -> None:
    lost = normalisation.lines_lost("Menu\nbody\n Footer 1\nend", "body\nend")
    assert lost == ["Menu", "Footer 1"]
    assert normalisation.quote_without("body\nFooter 1\nend", lost) == "body\nend"
    assert normalisation.quote_without("Footer", lost) == ""
    assert normalisation.quote_without("body", lost) == "body"
