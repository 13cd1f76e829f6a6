"""Redaction as a whole: planted values are gone, one value has one pseudonym, a second time changes nothing."""

import re

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.privacy.labelled_spans import parse
from tasks.core.privacy.person_names import NameLists, PersonNames
from tasks.core.privacy.personal_data import structured_detectors
from tasks.core.privacy.pseudonyms import PSEUDONYM, Pseudonyms
from tasks.core.privacy.redaction import Redactor, trim_torn_values
from tasks.core.privacy.spans import PlainPattern, Span

LISTS = NameLists(
    frozenset({"Jane", "Carlos", "Anna", "Mark", "Maria", "Anna-Lena"}),
    frozenset({"Doe", "Mendoza", "Hoffmann", "Johnson", "Whitfield", "Page"}),
)
NAMES = PersonNames(LISTS)
REDACTOR = Redactor([*structured_detectors(), *NAMES.rules()], Pseudonyms(b"key"), NAMES.parts)

VALUES = {
    "EMAIL": ["jane.doe@corp.example", "li.wei88@qq.com", "o'neill@hibernia.ie", "jürgen.groß@post.de"],
    "PHONE": ["+1 415 555 0132", "(212) 555-0187", "+49 30 901820", "07700 900123", "617-555-0143", "01 42 68 53 00"],
    "CARD": ["4111 1111 1111 1111", "5555555555554444", "378282246310005"],
    "IBAN": ["DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819", "FR1420041010050500013M02606"],
    "IP": ["84.17.60.12", "203.0.113.77", "2001:db8:85a3::8a2e:370:7334"],
    "NATIONAL_ID": [
        "536-90-4399",
        "JZ 84 80 32 D",
        "72 689 542 022",
        "2 55 08 14 168 025 38",
        "12345678Z",
        "756.5086.1934.26",
    ],
    "SECRET": [
        "AKIA" + "Q3EGRWHY2PFD7XZ2",
        "ghp_" + "Zsnmeu7Ro6SnV2Jv2K8BkgbQs7mz762m0snk",
        "sk-" + "proj-7VxyZqja8gjkbGQa8CCDQPqw",
    ],
    "PERSON": ["Jane Doe", "Carlos Mendoza", "Anna-Lena Hoffmann", "Mark Johnson"],
}
PLANTED = [(name, value) for name, values in VALUES.items() for value in values]
WORDS = [
    "the",
    "call",
    "returns",
    "a",
    "list",
    "of",
    "None",
    "and",
    "42",
    "x=1",
    "foo()",
    "see",
    "also",
    "page",
    "7.",
    "e.g.",
    "-",
    "\n",
    "(",
    "Values",
]
filler = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)


def redact(*texts: str) -> list[str]:
    """Return the texts of one record, redacted."""
    return REDACTOR.redact(pl.Series(texts, dtype=pl.String), [0] * len(texts)).texts.to_list()


@st.composite
def planted_texts(draw: st.DrawFn) -> tuple[str, list[str]]:
    items = draw(st.lists(st.sampled_from(PLANTED), min_size=1, max_size=5))
    pieces = [draw(filler)]
    for _, value in items:
        pieces += [
            draw(st.sampled_from([" ", "\n", " (", "\t", ": "])),
            value,
            draw(st.sampled_from([" ", "\n", ", ", ") ", ". "])),
        ]
        pieces.append(draw(filler))
    return "".join(pieces), [value for _, value in items]


few = settings(max_examples=40, deadline=None)


@few
@given(planted_texts())
def test_no_planted_value_survives_wherever_it_stands(planted: tuple[str, list[str]]) -> None:
    text, values = planted
    (redacted,) = redact(text)
    assert not [value for value in values if value in redacted]


@few
@given(planted_texts())
def test_redacting_twice_changes_nothing(planted: tuple[str, list[str]]) -> None:
    once = redact(planted[0])
    assert redact(*once) == once


@few
@given(st.text(st.sampled_from("0123456789 .-+()/:@<>_abcdefABCDEFXYZ=\"'\n,"), max_size=120))
def test_redacting_any_digits_and_signs_twice_changes_nothing(text: str) -> None:
    once = redact(text)
    assert redact(*once) == once


@few
@given(st.lists(planted_texts(), min_size=1, max_size=3))
def test_a_few_texts_are_redacted_as_they_are_among_many(planted: list[tuple[str, list[str]]]) -> None:
    texts = [text for text, _ in planted]
    alone = [redact(text)[0] for text in texts]
    many = pl.Series([*texts, *(["nothing here"] * 20)])
    assert REDACTOR.redact(many, range(len(many))).texts.to_list()[: len(texts)] == alone


@few
@given(planted_texts(), filler)
def test_a_detector_that_finds_something_was_suspicious(planted: tuple[str, list[str]], other: str) -> None:
    texts = pl.Series([planted[0], other, "", planted[0] + other])
    for detector in REDACTOR.detectors:
        suspects = detector.suspects(texts).to_list()
        assert [bool(list(detector.find(text))) <= suspect for text, suspect in zip(texts, suspects, strict=True)] == [
            True
        ] * 4


@few
@given(planted_texts(), st.data())
def test_evidence_stays_a_verbatim_part_of_its_document(planted: tuple[str, list[str]], data: st.DataObject) -> None:
    text = planted[0]
    cuts = [0, len(text), *(match.start() for match in re.finditer(r"\s", text))]
    start, end = sorted(data.draw(st.lists(st.sampled_from(cuts), min_size=2, max_size=2)))
    document = REDACTOR.redact(pl.Series([text]), [0])
    values = document.values.get(0, {})
    evidence = trim_torn_values(text[start:end].strip(), values)
    redacted = REDACTOR.redact(pl.Series([evidence]), [0], known={0: values} if values else {}).texts[0]
    assert redacted in document.texts[0]


@pytest.mark.parametrize(("name", "value"), PLANTED)
def test_every_class_gets_its_own_pseudonym(name: str, value: str) -> None:
    (redacted,) = redact(f"Then {value} was seen.")
    assert re.fullmatch(rf"Then <{name}_[0-9a-f]{{8}}> was seen\.", redacted)


def test_the_same_person_has_the_same_pseudonym_in_every_record() -> None:
    texts = pl.Series(
        ["My name is Jane Doe.", "Contact Jane Doe today.", "JANE.DOE@corp.example", "jane.doe@CORP.example"]
    )
    redacted = REDACTOR.redact(texts, range(4)).texts.to_list()
    assert PSEUDONYM.findall(redacted[0]) == PSEUDONYM.findall(redacted[1])
    assert redacted[2] == redacted[3]


def test_a_surname_alone_gets_the_whole_names_pseudonym_in_its_record() -> None:
    question, answer = redact("Who is Carlos Mendoza?", "As Mendoza wrote, it fails.")
    assert PSEUDONYM.findall(question) == PSEUDONYM.findall(answer)
    assert redact("As Mendoza wrote, it fails.") == [
        "As Mendoza wrote, it fails."
    ]  # elsewhere it is a word like others


def test_a_value_found_by_its_cue_is_replaced_everywhere_in_the_record() -> None:
    first, second = redact("password=hunter2-secret", "The log shows hunter2-secret twice.")
    assert "hunter2" not in first + second


def test_a_name_that_is_a_word_is_replaced_only_where_it_is_a_name() -> None:
    (redacted,) = redact("My name is Mark. Mark the box.")
    assert redacted.endswith("Mark the box.")


def test_known_values_are_replaced_although_no_detector_sees_them() -> None:
    redaction = REDACTOR.redact(
        pl.Series(["the Zorblax file", None]), [0, 1], known={0: {"Zorblax": "<PERSON_00000000>"}}
    )
    assert redaction.texts.to_list() == ["the <PERSON_00000000> file", None]
    assert redaction.counts == {"PERSON": 1}


def test_spans_from_outside_count_like_a_detectors() -> None:
    redaction = REDACTOR.redact(pl.Series(["ask Nkechi now"]), [0], found={0: [Span(4, 10, "PERSON")]})
    assert redaction.values == {0: {"Nkechi": PSEUDONYM.findall(redaction.texts[0])[0]}}


def test_a_users_own_class_wins_over_the_others() -> None:
    own = PlainPattern("STAFF_ID", re.compile(r"E-\d{3}-\d{2}-\d{4}"))
    redactor = Redactor([own, *structured_detectors()], Pseudonyms(b"key"), priority=("STAFF_ID", "NATIONAL_ID"))
    assert [span.name for span in redactor.find("id E-536-90-4399")] == ["STAFF_ID"]


@pytest.mark.parametrize(
    ("quotation", "value", "trimmed"),
    [
        ("Doe signed it", "Jane Doe", "signed it"),
        ("signed by Jane", "Jane Doe", "signed by"),
        ("Jane Doe signed", "Jane Doe", "Jane Doe signed"),
        ("555 0132 or mail", "+1 415 555 0132", "or mail"),
        ("nothing here", "Jane Doe", "nothing here"),
        ("415", "+1 415 555 0132", ""),
    ],
)
def test_a_quotation_that_begins_or_ends_inside_a_value_loses_the_rest_of_it(
    quotation: str, value: str, trimmed: str
) -> None:
    assert trim_torn_values(quotation, [value]) == trimmed


def test_another_key_gives_other_pseudonyms() -> None:
    assert Pseudonyms(b"a").of("EMAIL", "x@y.de") != Pseudonyms(b"b").of("EMAIL", "x@y.de")


def test_a_private_key_goes_as_a_whole() -> None:
    marked = parse("-----BEGIN ~~RSA PRIVATE KEY-----")
    key = f"{marked.text.replace('~~', '')}\nMIIEowIBAAKCAQEA7x9Zk2vQe8Fh3LmNp4RtUvWx\n-----END RSA PRIVATE KEY-----"
    assert re.fullmatch(r"before <SECRET_\w{8}> after", redact(f"before {key} after")[0])
    cut = redact(f"{key[:60]}")[0]
    assert re.fullmatch(r"<SECRET_\w{8}>", cut)
