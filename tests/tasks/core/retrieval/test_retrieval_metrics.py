import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.retrieval.retrieval_metrics import recall_at_k, reciprocal_rank

IDS = st.lists(st.sampled_from("abcdef"), max_size=8)
SOME = st.sets(st.sampled_from("abcdef"), min_size=1)


@pytest.mark.parametrize(
    ("retrieved", "relevant", "k", "recall", "rank"),
    [
        ("abc", "a", 3, 1, 1),
        ("abc", "c", 3, 1, 1 / 3),
        ("abc", "c", 2, 0, 0),
        ("aab", "ab", 3, 1, 1),
        ("xay", "ab", 3, 0.5, 0.5),
        ("", "a", 3, 0, 0),
    ],
)
def test_recall_and_reciprocal_rank_by_document(
    retrieved: str, relevant: str, k: int, recall: float, rank: float
) -> None:
    assert recall_at_k(list(retrieved), set(relevant), k) == recall
    assert reciprocal_rank(list(retrieved), set(relevant), k) == rank


@given(IDS, SOME, st.integers(1, 8))
def test_a_deeper_look_never_finds_less(retrieved: list[str], relevant: set[str], k: int) -> None:
    assert 0 <= recall_at_k(retrieved, relevant, k) <= recall_at_k(retrieved, relevant, k + 1) <= 1
    assert 0 <= reciprocal_rank(retrieved, relevant, k) <= reciprocal_rank(retrieved, relevant, k + 1) <= 1
    assert (recall_at_k(retrieved, relevant, k) > 0) is (reciprocal_rank(retrieved, relevant, k) > 0)


def test_an_item_without_relevant_documents_is_not_counted_as_a_miss() -> None:
    for measure in (recall_at_k, reciprocal_rank):
        with pytest.raises(ValueError, match="no document is relevant"):
            measure(["a"], [], 3)
