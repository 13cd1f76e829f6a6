"""The lists of known names and the named-entity model."""

import pytest

from tasks.adapters.privacy.name_recogniser import MODEL, NameRecogniser, name_lists
from tasks.core.errors import ConfigError
from tasks.core.privacy.person_names import PersonNames


@pytest.fixture(scope="module")
def recogniser() -> NameRecogniser:
    return NameRecogniser(MODEL, PersonNames(name_lists()))


def found(recogniser: NameRecogniser, text: str) -> list[str]:
    """Return the names the model finds in `text`."""
    return [text[span.start : span.end] for span in recogniser.find([text])[0]]


def test_known_names_come_from_many_countries() -> None:
    lists = name_lists()
    assert {"Jane", "Jean-Luc", "Javier", "Wei", "Priya", "Kate"} <= lists.given
    assert {"Johnson", "Müller", "Watanabe", "Okafor", "Nguyen"} <= lists.family
    assert len(lists.given) > 5000
    assert len(lists.family) > 5000


def test_the_model_finds_names_that_no_list_holds(recogniser: NameRecogniser) -> None:
    assert found(recogniser, "We interviewed Oluwaseun Bankole last week.") == ["Oluwaseun Bankole"]


def test_places_are_right_when_names_wrap_or_stand_late(recogniser: NameRecogniser) -> None:
    text = "The pump failed twice.\nAfter that the witness, Harriet\nLindgren, declined to comment.\n\nNo more."
    assert found(recogniser, text) == ["Harriet\nLindgren"]


def test_class_names_are_no_people(recogniser: NameRecogniser) -> None:
    assert found(recogniser, "Convert the Counter to a Queue; see BytesIO and Camel Case names in Python.") == []


def test_several_texts_keep_their_order(recogniser: NameRecogniser) -> None:
    spans = recogniser.find(["nothing", "We asked Priya Raghunathan about it.", ""])
    assert [len(found) for found in spans] == [0, 1, 0]


def test_a_missing_model_is_said_in_one_sentence() -> None:
    with pytest.raises(ConfigError, match=r"'no_such_model' is not installed: .*curate\.redact\.ner_model"):
        NameRecogniser("no_such_model", PersonNames(name_lists()))
