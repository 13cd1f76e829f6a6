from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tasks.core.statistics.stratified_sampling import stratified_order, stratified_sample

STRATA = st.dictionaries(st.text(min_size=1, max_size=6), st.sampled_from("abcd"), max_size=60)


@given(STRATA, st.integers(0, 70), st.integers(0, 3))
def test_the_sample_has_the_size_asked_for_and_every_stratum_its_share(
    strata: dict[str, str], size: int, seed: int
) -> None:
    sample = stratified_sample(strata, size, seed)
    assert len(sample) == min(size, len(strata))
    assert sample == sorted(set(sample))
    counts, total = Counter(strata[i] for i in sample), len(strata)
    for stratum, members in Counter(strata.values()).items():
        share = len(sample) * members / total
        assert abs(counts[stratum] - share) < 1


@given(STRATA, st.integers(0, 70))
def test_the_order_of_the_rows_does_not_matter(strata: dict[str, str], size: int) -> None:
    assert stratified_sample(strata, size) == stratified_sample(dict(reversed(strata.items())), size)


def test_a_few_more_rows_change_the_sample_little() -> None:
    before = {f"item-{i}": "a" for i in range(1000)}
    after = {**before, **{f"new-{i}": "a" for i in range(50)}}
    kept = set(stratified_sample(before, 200)) & set(stratified_sample(after, 200))
    assert len(kept) >= 180


def test_another_seed_draws_others() -> None:
    strata = {f"item-{i}": "a" for i in range(1000)}
    assert stratified_sample(strata, 100, seed=0) != stratified_sample(strata, 100, seed=1)


def test_every_beginning_holds_the_strata_in_their_proportions() -> None:
    keys = [(f"a{i}", "rare") for i in range(10)] + [(f"b{i}", "common") for i in range(30)]
    counts = Counter(kind for _, kind in stratified_order(keys, seed=1)[:20])
    assert counts == {"rare": 5, "common": 15}


def test_one_id_more_moves_no_other_of_its_stratum() -> None:
    keys = [(f"a{i}", "one") for i in range(20)]
    before = stratified_order(keys, seed=1)
    after = [key for key in stratified_order([*keys, ("new", "one")], seed=1) if key[0] != "new"]
    assert before == after
    assert before != stratified_order(keys, seed=2)
