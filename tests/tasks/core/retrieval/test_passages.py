from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasks.core.retrieval.passages import MAX_CHARS, cut

texts = st.text(alphabet=st.sampled_from("ab.!\n \tÖ"), max_size=3000)


def plain(text: str) -> str:
    return "".join(text.split())


def test_a_short_text_is_one_passage_as_it_stands() -> None:
    (passage,) = cut("d1", "json.dumps", "json.dumps(obj)\n\nSerialise obj.")
    assert passage.text == "json.dumps(obj)\n\nSerialise obj."
    assert (passage.id, passage.document_id, passage.ordinal) == ("d1-0000", "d1", 0)


def test_paragraphs_stay_whole_where_they_fit() -> None:
    paragraphs = [f"Paragraph {number} " + "words " * 40 + "end." for number in range(6)]
    found = cut("d", "Title", "\n\n".join(paragraphs))
    assert [sum(paragraph in passage.text for passage in found) for paragraph in paragraphs] == [1] * 6


def test_a_long_paragraph_is_cut_at_the_ends_of_sentences() -> None:
    sentences = [f"Sentence {number} says something of no great weight at all." for number in range(30)]
    found = cut("d", "Title", " ".join(sentences))
    assert len(found) > 3
    assert all(any(sentence in passage.text for passage in found) for sentence in sentences)


def test_every_passage_but_the_first_starts_with_the_title() -> None:
    first, *later = cut("d", "os.path.join", "word " * 400)
    assert not first.text.startswith("os.path.join")
    assert later
    assert all(passage.text.startswith("os.path.join\n") for passage in later)


def test_a_text_without_words_has_no_passage() -> None:
    assert cut("d", "Title", " \n\n ") == []


@settings(deadline=None)
@given(texts, st.text(alphabet="xy z", max_size=600))
@example("a" * 2000, "")
@example("", "x")
def test_passages_are_short_and_lose_nothing(text: str, title: str) -> None:
    found = cut("d", title, text)
    head = title[: MAX_CHARS // 3].strip()
    bodies = [passage.text if not passage.ordinal else passage.text.removeprefix(head) for passage in found]
    assert all(len(passage.text) <= MAX_CHARS for passage in found)
    assert all(plain(body) for body in bodies)
    assert plain("".join(bodies)) == plain(text)
    assert [passage.ordinal for passage in found] == list(range(len(found)))
