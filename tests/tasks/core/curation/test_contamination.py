import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.curation.contamination import Match, Reserve, grams_of

SIZE = 3
sentences = st.lists(st.lists(st.sampled_from("abcd"), max_size=9).map(" ".join), max_size=8)


def reserve(texts: list[str | None], **values: int) -> Reserve:
    return Reserve([grams_of(pl.Series(texts, dtype=pl.String), size=SIZE)], **values)


def found(known: Reserve, texts: list[str | None], min_share: float = 0.01) -> list[Match]:
    return known.matches(pl.Series(texts, dtype=pl.String), min_share=min_share, size=SIZE)


def windows(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[at : at + SIZE]) for at in range(max(1, len(words) - SIZE + 1))} if words else set()


def test_the_share_is_that_of_the_reserved_text_not_of_the_one_that_holds_it() -> None:
    known = reserve(["the cat sat on the mat", "another text of many words"])
    (match,) = found(known, ["x y", "long before the cat sat on and long after it"])
    assert (match.row, match.reserved) == (1, 0)
    assert match.share == 2 / 4


def test_case_and_punctuation_do_not_hide_an_overlap() -> None:
    assert found(reserve(["the cat sat on"]), ["The CAT, sat: on!"]) == [Match(0, 0, 1.0)]


def test_a_smaller_share_than_asked_for_is_no_match() -> None:
    known = reserve(["the cat sat on the mat"])
    assert found(known, ["the cat sat"], min_share=0.5) == []
    assert found(known, ["the cat sat"], min_share=0.25) != []


def test_what_many_reserved_texts_share_is_boilerplate() -> None:
    texts: list[str | None] = [f"all rights reserved by number{n} and friends" for n in range(11)]
    assert found(reserve(texts), ["all rights reserved by nobody"]) == []
    assert len(found(reserve(texts[:10]), ["all rights reserved by nobody"])) == 10


def test_a_short_text_matches_as_a_whole_only() -> None:
    known = reserve(["two words"])
    assert found(known, ["two words", "these two words here", "two"]) == [Match(0, 0, 1.0)]


def test_an_absent_or_empty_text_matches_nothing() -> None:
    assert found(reserve([None, "", "..."]), ["", None, "..."]) == []
    assert len(reserve([])) == 0


def test_texts_are_numbered_on_over_batches_and_blocks() -> None:
    texts = pl.Series([f"text number{n} of its own" for n in range(3000)])
    known = Reserve([grams_of(texts[:2500], size=SIZE), grams_of(texts[2500:], size=SIZE, first=2500)])
    assert known.matches(texts[[2999, 1500, 2]], min_share=0.9, size=SIZE) == [
        Match(0, 2999, 1.0),
        Match(1, 1500, 1.0),
        Match(2, 2, 1.0),
    ]
    assert [(match.row, match.reserved) for match in known.matches(texts, min_share=0.9, size=SIZE)] == [
        (number, number) for number in range(3000)
    ]


def test_a_repeated_sequence_counts_once() -> None:
    (match,) = found(reserve(["a b c a b c a b c x y"]), ["a b c"])
    assert match.share == 1 / 5


@settings(deadline=None)
@given(sentences, sentences)
def test_shares_are_those_of_the_sets_of_windows(reserved: list[str], others: list[str]) -> None:
    matches = {(m.row, m.reserved): m.share for m in found(reserve([*reserved], boilerplate=99), [*others], 0.01)}
    expected = {}
    for row, text in enumerate(others):
        for number, other in enumerate(reserved):
            if windows(text) & windows(other):
                expected[row, number] = len(windows(text) & windows(other)) / len(windows(other))
    assert matches == expected
