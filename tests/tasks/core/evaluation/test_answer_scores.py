import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.chat.abstention import abstains
from tasks.core.chat.prompt import ABSTENTION
from tasks.core.evaluation.answer_scores import accepts, exact_match, score_answer, spells_out, token_f1, tokens

TEXTS = st.text(alphabet=st.characters(codec="utf-8"), max_size=60)
WORD = st.sampled_from(["none", "true", "os.path", "-1", "0.8", "read_text", "lock", "file", "utf-8"])
WORDS = st.lists(WORD, max_size=8)

ABSTENTIONS = [
    ABSTENTION,
    "the context does not contain the answer",
    "The context doesn’t say.",
    "I don't know.",
    "I'm sorry, but the context does not mention json.dumps. Please provide more context.",
    "The provided text does not specify the default value of the parameter.",
    "There is no information about `foo` in the context.",
    "It is not mentioned in the context.",
    "The given context does not contain any information about the default.",
    "The default value of x is not specified in the given context.",
    "Sorry, I cannot answer that.",
    "The answer cannot be determined from the context.",
    "Not specified.",
    "The context does not explicitly state what f does.",
    "I cannot find the answer in the given documentation.",
    "There is not enough information to answer.",
    "The passage does not say; I don't know.",
]
ANSWERS = [
    "",
    "None",
    "No",
    "The default is unknown.",
    "The function does not return anything.",
    "The context manager does not contain a lock.",
    "It returns no information about the file.",
    "The context does not say, but it is probably 3.",
    "The context does not contain the answer. The default is None.",
    "Raises an error if the text does not have a header.",
    "The documentation is not included in the binary build.",
    "It does not include the current directory.",
    "The document does not contain duplicate keys.",
    "Return True if the context does not hold a signal.",
    "Please pass the file name.",
]


@pytest.mark.parametrize("answer", ABSTENTIONS)
def test_an_answer_that_says_it_has_none_is_recognised(answer: str) -> None:
    assert abstains(answer)


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_that_merely_sounds_like_declining_is_not_an_abstention(answer: str) -> None:
    assert not abstains(answer)


def test_tokens_keep_names_and_numbers_whole_and_lose_case_articles_and_punctuation() -> None:
    text = "The `os.path` of A file, 'UTF-8', is 1,000 or -1 or +0.8; **kwds!"
    assert tokens(text) == ["os.path", "of", "file", "utf-8", "is", "1000", "or", "-1", "or", "0.8", "kwds"]


@pytest.mark.parametrize(
    ("answer", "reference", "match"),
    [
        ("`None`.", "none", 1),
        ("-1", "1", 0),
        ("os.path", "os", 0),
        ('"', '"', 1),
        ("'", '"', 0),
        ("", "", 1),
        ("a", "the", 0),
    ],
)
def test_exact_match_ignores_what_does_not_matter(answer: str, reference: str, match: int) -> None:
    assert exact_match(answer, reference) == match


def test_token_f1_is_the_harmonic_mean_of_precision_and_recall() -> None:
    assert token_f1("a file is opened for reading", "opens file for reading") == pytest.approx(2 * 3 / (5 + 4))


@given(TEXTS, TEXTS)
def test_match_and_f1_are_symmetric_and_between_zero_and_one(one: str, other: str) -> None:
    assert token_f1(one, other) == pytest.approx(token_f1(other, one))
    assert exact_match(one, other) == exact_match(other, one)
    assert 0 <= exact_match(one, other) <= token_f1(one, other) <= 1


@given(TEXTS)
def test_an_answer_matches_itself(text: str) -> None:
    assert exact_match(text, text) == token_f1(text, text) == 1


@given(WORDS, st.randoms())
def test_token_f1_does_not_see_the_order_of_words(words: list[str], rng) -> None:  # type: ignore[no-untyped-def]
    shuffled = list(words)
    rng.shuffle(shuffled)
    assert token_f1(" ".join(shuffled), " ".join(words)) == 1


@given(WORDS, WORDS, WORDS)
def test_an_answer_spells_out_any_run_of_its_own_words(before: list[str], middle: list[str], after: list[str]) -> None:
    whole = " ".join([*before, *middle, *after])
    assert spells_out(whole, " ".join(middle)) is bool(middle)


@given(TEXTS, TEXTS)
def test_an_unanswerable_question_scores_one_for_abstaining_and_nothing_else(answer: str, reference: str) -> None:
    scores = score_answer(answer, reference, answerable=False)
    assert scores.score == float(scores.abstained) == float(not scores.hallucinated)
    assert scores.exact_match is None
    assert scores.token_f1 is None


@given(TEXTS, TEXTS)
def test_an_answerable_question_scores_its_token_f1(answer: str, reference: str) -> None:
    scores = score_answer(answer, reference, answerable=True)
    assert scores.score == scores.token_f1
    assert not (scores.hallucinated and (scores.abstained or scores.score >= 0.5))


def test_abstaining_from_an_answerable_question_is_no_hallucination_but_scores_nothing() -> None:
    scores = score_answer(ABSTENTION, "None", answerable=True)
    assert (scores.abstained, scores.score, scores.hallucinated) == (True, 0, False)


def test_a_right_answer_in_a_whole_sentence_is_no_hallucination() -> None:
    right = score_answer("By default the parameter sep of the function print is None.", "None", answerable=True)
    wrong = score_answer("By default the parameter sep of the function print is True.", "None", answerable=True)
    assert right.score < 0.5
    assert (right.hallucinated, wrong.hallucinated) == (False, True)


@pytest.mark.parametrize(
    ("answer", "accepted", "is_right"),
    [
        ("The capital is PARIS.", ["Paris"], True),
        ("Parisians live there.", ["Paris"], False),
        ("Sao Paulo", ["São Paulo"], True),
        ("It is H₂O", ["H2O"], True),
        ("It has seven days", ["7", "seven"], True),
        ("17 days", ["7"], False),
        ("", ["7"], False),
    ],
)
def test_a_probe_answer_counts_as_whole_words_without_case_and_accents(
    answer: str, accepted: list[str], is_right: bool
) -> None:
    assert accepts(answer, accepted) is is_right
