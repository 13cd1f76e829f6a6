import random

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.curation import minhash

texts = st.lists(st.text(alphabet="ab \n", max_size=40), max_size=30)


def twins(texts: list[str], *, threshold: float = 0.75, guards: list[int] | None = None) -> list[int]:
    prints = minhash.fingerprint(pl.Series(texts, dtype=pl.String))
    guard = np.array(guards or [0] * len(texts), dtype=np.uint64)
    rows = np.arange(len(texts))
    return minhash.kept_twins(prints.signatures, rows, guard, threshold=threshold).tolist()


def sentence(words: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [f"word{rng.randrange(10**9)}" for _ in range(words)]


def shingles(words: list[str]) -> set[tuple[str, ...]]:
    return {tuple(words[at : at + 5]) for at in range(max(1, len(words) - 4))}


def test_signatures_have_112_columns_and_follow_from_the_text_alone() -> None:
    words = [" ".join(sentence(50, seed)) for seed in range(2100)]
    together = minhash.signatures(pl.Series(words))
    alone = minhash.signatures(pl.Series(words[1500:1501]))
    assert together.shape == (2100, 112)
    assert together.dtype == np.uint32
    assert np.array_equal(together[1500], alone[0])


def test_a_text_far_longer_than_a_block_is_signed_like_any_other() -> None:
    long, short = " ".join(sentence(200_000, 1)), " ".join(sentence(20, 2))
    signed = minhash.signatures(pl.Series([short, long, short]))
    assert np.array_equal(signed[0], signed[2])
    assert not np.array_equal(signed[0], signed[1])


@pytest.mark.parametrize("changed", [2, 8, 20])
def test_the_share_of_equal_columns_estimates_the_jaccard_similarity(changed: int) -> None:
    estimates, truths = [], []
    for seed in range(60):
        first = sentence(200, seed)
        second = list(first)
        for place in range(0, 10 * changed, 10):
            second[place] = "changed"
        signed = minhash.signatures(pl.Series([" ".join(first), " ".join(second)]))
        estimates.append(float(minhash.similarity(signed, np.array([0]), np.array([1]))[0]))
        a, b = shingles(first), shingles(second)
        truths.append(len(a & b) / len(a | b))
    assert abs(np.mean(estimates) - np.mean(truths)) < 0.02  # deviation of the mean: 0.047 / sqrt(60)


def test_the_first_of_a_cluster_is_kept() -> None:
    words = sentence(100, 3)
    near = [*words[:50], "changed", *words[51:]]
    assert twins([" ".join(words), "something else entirely that is long enough", " ".join(near)]) == [0, 1, 0]


def test_the_ends_of_a_chain_of_small_changes_are_not_copies() -> None:
    words = sentence(120, 4)
    chain = [words]
    for step in range(1, 12):
        changed = list(chain[-1])
        changed[step * 10 - 5] = f"changed{step}"
        chain.append(changed)
    found = twins([" ".join(link) for link in chain])
    kept = sorted(set(found))
    assert len(kept) > 1
    assert found[-1] != 0
    for row, twin in enumerate(found):
        a, b = shingles(chain[row]), shingles(chain[twin])
        assert len(a & b) / len(a | b) > 0.6


def test_texts_with_other_guards_are_never_copies() -> None:
    text = " ".join(sentence(30, 5))
    assert twins([text, text, text], guards=[1, 2, 1]) == [0, 1, 0]


def test_texts_of_fewer_than_five_words_are_copies_only_if_equal() -> None:
    assert twins(["one two three", "one two four", "One  two THREE", "", "one two three five"]) == [0, 1, 0, 3, 4]


def test_a_short_text_does_not_borrow_words_from_the_next() -> None:
    alone = minhash.signatures(pl.Series(["one two"]))
    followed = minhash.signatures(pl.Series(["one two", "three four five six"]))
    assert np.array_equal(alone[0], followed[0])


def test_no_text_has_no_copies() -> None:
    assert twins([]) == []
    assert minhash.first_of_equals(np.empty((0, 2), dtype=np.uint64)).tolist() == []


@settings(deadline=None)
@given(texts)
def test_keys_are_equal_exactly_where_the_words_are(some: list[str]) -> None:
    keys = minhash.fingerprint(pl.Series(some, dtype=pl.String)).keys
    first = minhash.first_of_equals(keys).tolist()
    words = [text.lower().split() for text in some]
    assert first == [words.index(text) for text in words]


@settings(deadline=None)
@given(texts, st.integers(0, 3))
def test_a_twin_is_an_earlier_kept_row_with_the_same_guard(some: list[str], num_guards: int) -> None:
    guards = [number % (num_guards + 1) for number in range(len(some))]
    found = twins(some, guards=guards)
    for row, twin in enumerate(found):
        assert twin <= row
        assert found[twin] == twin
        assert guards[twin] == guards[row]


def test_nearly_every_pair_above_085_is_found_and_none_below_06() -> None:
    rows, wanted = [], []
    for seed in range(300):
        words = sentence(150, seed)
        for stride, is_near in ((70, True), (9, False)):  # similarity about .87 and .35
            changed = list(words)
            for place in range(stride // 2, len(words), stride):
                changed[place] = f"new{seed}"
            rows += [" ".join(words), " ".join(changed)] if is_near else [" ".join(changed)]
        wanted.append(len(rows) - 3)
    found = twins(rows)
    assert np.mean([found[row + 1] == row for row in wanted]) >= 0.99
    assert all(found[row + 2] == row + 2 for row in wanted)
