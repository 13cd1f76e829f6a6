from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.retrieval.terms import names, terms, title_names


def test_an_identifier_is_a_term_as_a_whole_and_in_parts() -> None:
    assert list(terms("os.path.join")) == ["os.path.join", "os", "path", "join"]
    assert list(terms("JSONDecoder.raw_decode")) == [
        "jsondecoder.raw_decode",
        "jsondecoder",
        "raw_decode",
        "json",
        "decoder",
        "raw",
        "decode",
    ]
    assert list(terms("__init__")) == ["__init__", "init"]


def test_words_stay_words_and_the_end_of_a_sentence_is_no_part_of_one() -> None:
    assert list(terms("What does dumps do? It dumps.")) == ["what", "does", "dumps", "do", "it", "dumps"]


def test_a_word_beyond_ascii_is_not_taken_apart() -> None:
    assert list(terms("Größe")) == ["größe"]


def test_a_question_may_call_a_thing_by_the_end_of_its_name() -> None:
    assert names("Why json.dumps?") == {"why", "json.dumps", "dumps"}


def test_a_title_of_several_words_is_no_name() -> None:
    assert title_names("How to return goods") == set()
    assert title_names("refunds.md") == {"refunds.md", "md"}
    assert title_names("") == set()


@settings(deadline=None)
@given(st.text(max_size=200))
def test_every_name_in_a_text_is_a_term_or_the_dotted_end_of_one(text: str) -> None:
    known = set(terms(text))
    assert all(name in known or any(term.endswith(f".{name}") for term in known) for name in names(text))
