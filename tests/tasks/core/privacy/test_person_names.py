"""Names by rule."""

import pytest

from tasks.core.privacy.person_names import NameLists, PersonNames
from tasks.core.privacy.spans import without_overlaps

NAMES = PersonNames(
    NameLists(
        frozenset({"Jane", "Carlos", "Mark", "Will", "May", "Jean-Luc", "Sarah", "Taylor", "Maria", "Gauss", "Guido"}),
        frozenset(
            {"Doe", "Mendoza", "Johnson", "O'Connor", "Rossum", "May", "Watanabe", "Page", "McAllister", "Moreau"}
        ),
    )
)


def found(text: str) -> list[str]:
    """Return the names in `text`."""
    spans = [span for rule in NAMES.rules() for span in rule.find(text)]
    return [text[span.start : span.end] for span in without_overlaps(spans, ())]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("The ticket of Jane Doe is open.", "Jane Doe"),
        ("met Jean-Luc Moreau there", "Jean-Luc Moreau"),
        ("Sarah O'Connor's car", "Sarah O'Connor"),
        ("by Guido van Rossum in 1991", "Guido van Rossum"),
        ("by Jane\n    Doe, who", "Jane\n    Doe"),
        ("Jane B. Doe left", "Jane B. Doe"),
        ("Carlos Unlisted wrote", "Carlos Unlisted"),
        ("Kenji Watanabe chairs", "Kenji Watanabe"),
        ("Mark Johnson pays", "Mark Johnson"),
        ("Dear Mrs. Abernathy, hello", "Abernathy"),
        ("Professor Hargreaves teaches", "Hargreaves"),
        ("Frau Schneider ist da", "Schneider"),
        ("My name is Xiomara.", "Xiomara"),
        ("Ich heiße Sabine Krüger.", "Sabine Krüger"),
        ("Kind regards,\nFiona Gallagher\n", "Fiona Gallagher"),
        ("Hi Maria, thanks", "Maria"),
        ("Doe, Jane", "Doe, Jane"),
        ("J. R. Doe signed", "J. R. Doe"),
        ("call J. R. Whitfield now", "J. R. Whitfield"),
        ("Zed Quux <zq@corp.example>", "Zed Quux"),
        ("Jane Doe Last Name", "Jane Doe"),
        ("Mrs. Julie Stokes PhD left", "Julie Stokes"),
        ("Maria Doe-Unlisted left", "Maria Doe-Unlisted"),
        ("Yesterday Carlos Jane Doe Mendoza left", "Carlos Jane Doe Mendoza"),
    ],
)
def test_names_are_found(text: str, name: str) -> None:
    assert found(text) == [name]


@pytest.mark.parametrize(
    "text",
    [
        "Mark Downloads as complete",
        "May Contain Nuts",
        "Will Smithereens fly",
        "Taylor Series and Gauss Jordan",
        "Dear Customer, hello",
        "Hi Team",
        "True, False",
        "Contact Support now",
        "This is Sendmail",
        "the A. Test case",
        "os.Jane Doe",
        "Monte Carlo",
        "Value Error <see@x.example>",
        "Dr. Test",
        "Kind regards,\n\n\nFiona",
        "Page, Will and others",
    ],
)
def test_capitalised_words_are_not_always_names(text: str) -> None:
    assert found(text) == []


def test_two_names_in_a_list_are_two_names() -> None:
    assert found("cc: Carlos Mendoza, Jane Doe") == ["Carlos Mendoza", "Jane Doe"]


def test_a_full_name_stands_for_its_parts_but_a_word_does_not() -> None:
    assert NAMES.parts("Jane Doe") == ["Jane", "Doe"]
    assert NAMES.parts("Mark Johnson") == ["Johnson"]
    assert NAMES.parts("Jane") == []


def test_what_a_model_calls_a_person_must_look_like_one() -> None:
    assert NAMES.is_full_name(["Nkechi", "Adeyemi"])
    assert NAMES.is_full_name(["Mark", "Johnson"])
    assert not NAMES.is_full_name(["Mark", "Downloads"])
    assert not NAMES.is_full_name(["Camel", "Case"])
    assert NAMES.is_name_alone("Maria")
    assert not NAMES.is_name_alone("Counter")
