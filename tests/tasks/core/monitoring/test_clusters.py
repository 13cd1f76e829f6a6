import numpy as np

from tasks.core.monitoring.clusters import naming_terms, new_rows
from tasks.core.monitoring.triage_config import TriageConfig
from tests.tasks.core.monitoring.conftest import MIXED, REFERENCE, window


def test_few_usual_rows_pass_for_new_ones():
    found = new_rows(REFERENCE, window(MIXED).vectors, TriageConfig())
    assert np.mean(found < 400) <= 0.1
    assert np.sum(found >= 400) > 120


def test_terms_that_all_rows_have_name_nothing():
    documents = [{"the", "array", f"x{row}"} for row in range(30)] + [{"the", "file", f"y{row}"} for row in range(70)]
    assert naming_terms(documents, range(30)) == ["array"]


def test_a_word_that_many_usual_questions_hold_too_names_nothing() -> None:
    new = [{"scipy", "norm", "of"} for _ in range(30)]
    others = [{"json", "of"} if row % 5 == 0 else {"json"} for row in range(100)]
    assert naming_terms([*new, *others], range(30), range(30, 130)) == ["norm", "scipy"]
