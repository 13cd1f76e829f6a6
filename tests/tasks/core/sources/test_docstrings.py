"""What docstrings say for certain."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.sources.docstrings import flatten, is_silent_about_errors, raised, returned, summary


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("Serialize obj to a JSON string.\n\nMore.", "Serialize obj to a JSON string."),
        ("max(iterable, *[, key]) -> value\n\nReturn the largest item of all.", "Return the largest item of all."),
        ("f(a,\n  b) -> int\n\nAdd two numbers together.", "Add two numbers together."),
        ("Split a path e.g. into two parts. It is fast.", "Split a path e.g. into two parts."),
        ("Open a file using the given\nmode and return it.", "Open a file using the given\nmode and return it."),
        ("Read one line\n\nand more", "Read one line"),
        ("Read one line.\n>>> read()", "Read one line."),
    ],
)
def test_the_summary_is_the_first_sentence_as_it_stands(docstring: str, expected: str) -> None:
    assert summary(docstring) == expected


@pytest.mark.parametrize(
    "docstring",
    [
        "",
        "Slice(expr lower, expr upper)",
        "See the documentation of the other one.",
        "Usage is as follows:\n\n>>> f()",
        "Too short.",
        "XXX to be provided by somebody",
        "Same as the other function here.",
        "Return a value (without its other bracket",
        "lower case is no sentence here.",
        "Word " * 40 + ".",
        "date(year, month) --> date object",
    ],
)
def test_what_does_not_tell_is_no_summary(docstring: str) -> None:
    assert summary(docstring) is None


def test_what_is_returned_is_told_by_the_one_sentence_that_says_so() -> None:
    assert returned("Return the size of a file.") == "the size of a file"
    assert returned("Decompress a string. Returns the decompressed bytes.") == "the decompressed bytes"


@pytest.mark.parametrize(
    "docstring",
    [
        "Return any data available. Return b'' if none is.",
        "Return from the recursion.",
        "Returns None for unsupported types.",
        "Return an empty string at the end.",
        "Do it. The return value is odd. Return the odd value.",
        "Add two numbers.",
        "Returns x.",
    ],
)
def test_an_unclear_result_is_passed_over(docstring: str) -> None:
    assert returned(docstring) is None


def test_the_one_exception_is_found_with_its_words() -> None:
    found = raised("Remove an item. Raises a ``ValueError`` if it is absent.")
    assert found is not None
    assert (found.exception, found.evidence) == ("ValueError", "Raises a ``ValueError")


@pytest.mark.parametrize(
    "docstring",
    [
        "Raise KeyError or ValueError.",
        "It does not raise KeyError.",
        "Raise GeneratorExit inside the generator.",
        "About KeyError in general.",
        "Nothing at all.",
    ],
)
def test_an_unclear_exception_is_passed_over(docstring: str) -> None:
    assert raised(docstring) is None


def test_silence_about_errors_is_noticed() -> None:
    assert is_silent_about_errors("Return the number of lines.")
    assert not is_silent_about_errors("Fails on an invalid number.")


@given(st.text(max_size=300))
def test_every_fact_is_a_verbatim_slice(docstring: str) -> None:
    for fact in (summary(docstring), returned(docstring)):
        assert fact is None or fact in docstring
    assert "\n" not in flatten(docstring)
