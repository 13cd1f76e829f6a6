import string
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.curation.split_assignment import SIDES, Shares, side_of

USUAL = Shares(0.7, 0.15, 0.15)
families = st.text(alphabet=string.printable, max_size=20)


@settings(deadline=None)
@given(st.sets(families, max_size=30), st.sets(families, max_size=30), st.integers(0, 3))
def test_an_old_family_never_changes_side_when_the_data_grow(old: set[str], new: set[str], seed: int) -> None:
    before = {family: side_of(family, USUAL, seed=seed) for family in sorted(old)}
    after = {family: side_of(family, USUAL, seed=seed) for family in sorted(old | new, reverse=True)}
    assert all(after[family] == side for family, side in before.items())


@settings(deadline=None)
@given(families, st.floats(0, 0.2))
def test_a_family_that_trains_still_trains_when_that_share_grows(family: str, more: float) -> None:
    if side_of(family, USUAL) == "train":
        assert side_of(family, Shares(0.7 + more, 0.15, 0.15 - min(more, 0.15))) == "train"


def test_many_families_meet_the_shares() -> None:
    dealt = Counter(side_of(f"module{number}", USUAL) for number in range(4000))
    assert all(abs(dealt[side] / 4000 - share) < 0.03 for side, share in zip(SIDES, (0.7, 0.15, 0.15), strict=True))


def test_another_seed_deals_anew() -> None:
    names = [f"module{number}" for number in range(200)]
    assert [side_of(name, USUAL) for name in names] != [side_of(name, USUAL, seed=1) for name in names]


def test_without_a_share_the_holdout_stays_empty() -> None:
    dealt = {side_of(f"module{number}", Shares(0.1, 0.9 - 1e-12, 0.0)) for number in range(2000)}
    assert dealt == {"train", "eval"}


def test_the_sides_of_known_families_are_those_of_the_first_release() -> None:
    names = ["asyncio", "csv", "decimal", "email", "json", "logging", "os.path", "re", "Größe", ""]
    assert "".join(side_of(name, USUAL)[0] for name in names) == "ttthtetttt"
