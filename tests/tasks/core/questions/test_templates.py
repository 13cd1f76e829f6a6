"""The wordings of generated questions."""

import re

import pytest

from tasks.core.questions.templates import FORMS, HELD_OUT, TRAINED, word


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_six_trained_and_two_held_out_wordings_at_least(form: str) -> None:
    assert len(set(TRAINED[form])) >= 6
    assert len(set(HELD_OUT[form])) >= 2


@pytest.mark.parametrize("form", FORMS)
def test_held_out_wordings_are_other_words(form: str) -> None:
    """Not other punctuation: no held-out wording shares more than two thirds of its words with a trained one."""
    for held_out in HELD_OUT[form]:
        words = set(re.findall(r"\w+", held_out.lower()))
        for trained in TRAINED[form]:
            assert len(words & set(re.findall(r"\w+", trained.lower()))) <= 2 / 3 * len(words), (held_out, trained)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("held_out", [False, True])
def test_a_wording_names_what_it_asks_about(form: str, held_out: bool) -> None:
    for index in range(10):
        wording = word(form, index, held_out=held_out, name="json.dumps", parameter="indent")
        assert "json.dumps" in wording.text
        assert ("indent" in wording.text) == (form == "default")
        assert wording.held_out is held_out
        assert wording.phrasing.startswith(f"{form}-")


def test_trained_and_held_out_wordings_have_different_names() -> None:
    trained = {word("module", i, held_out=False, name="x").phrasing for i in range(20)}
    held_out = {word("module", i, held_out=True, name="x").phrasing for i in range(20)}
    assert not trained & held_out
