from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.retrieval.rank_fusion import fuse

rankings = st.lists(st.lists(st.integers(0, 30), unique=True), max_size=4)


def test_what_two_rankings_agree_on_comes_first() -> None:
    assert fuse([[1, 2, 3], [4, 2, 5]])[0] == 2


def test_equals_come_in_the_order_of_their_numbers() -> None:
    assert fuse([[9, 1], [1, 9]]) == [1, 9]


def test_the_score_is_the_sum_of_one_over_sixty_plus_rank() -> None:
    # 1/61 = .01639 beats 1/62 = .01613, but not 1/120 + 1/119 = .01674
    far = list(range(100, 158))
    assert fuse([[1, *far, 2], [*far, 2]])[0] == far[0]
    assert fuse([[1, *range(100, 158), 2], [*range(200, 258), 2]]).index(2) < 5


@settings(deadline=None)
@given(rankings)
def test_every_item_is_ranked_once(some: list[list[int]]) -> None:
    assert sorted(fuse(some)) == sorted({item for ranking in some for item in ranking})


@settings(deadline=None)
@given(rankings)
def test_one_ranking_stays_as_it_is(some: list[list[int]]) -> None:
    for ranking in some:
        assert fuse([ranking]) == ranking
