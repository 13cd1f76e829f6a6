import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.evaluation.judge_validation import LabelledPair, admit, balanced_accuracy

PAIRS = [LabelledPair(f"{i}", "context", "question", "answer", i % 2 == 0, "number") for i in range(40)]
TRUTH = [pair.faithful for pair in PAIRS]


def test_a_judge_that_tells_the_pairs_apart_is_admitted() -> None:
    admission = admit(PAIRS, TRUTH, 0.75)
    assert (admission.admitted, admission.balanced_accuracy) == (True, 1.0)


@pytest.mark.parametrize("constant", [True, False])
def test_a_judge_that_always_says_the_same_is_at_chance_and_refused(constant: bool) -> None:
    admission = admit(PAIRS, [constant] * 40, 0.75)
    assert (admission.admitted, admission.balanced_accuracy) == (False, 0.5)
    assert "0.50 is below 0.75" in admission.reason


def test_a_judge_that_is_right_when_it_answers_but_often_fails_is_refused() -> None:
    verdicts = [truth if i >= 3 else None for i, truth in enumerate(TRUTH)]
    admission = admit(PAIRS, verdicts, 0.75)
    assert not admission.admitted
    assert "37 of 40" in admission.reason


def test_a_few_failures_count_as_wrong_verdicts() -> None:
    admission = admit(PAIRS, [None, *TRUTH[1:]], 0.75)
    assert admission.admitted
    assert admission.balanced_accuracy == pytest.approx((19 / 20 + 1) / 2)


@given(st.lists(st.sampled_from([True, False, None]), min_size=40, max_size=40))
def test_turning_a_verdict_into_the_truth_never_lowers_the_accuracy(verdicts: list[bool | None]) -> None:
    better = [TRUTH[0], *verdicts[1:]]
    assert 0 <= balanced_accuracy(TRUTH, verdicts) <= balanced_accuracy(TRUTH, better) <= 1


def test_pairs_of_one_label_only_cannot_test_a_judge() -> None:
    with pytest.raises(ValueError, match="both"):
        balanced_accuracy([True, True], [True, False])
