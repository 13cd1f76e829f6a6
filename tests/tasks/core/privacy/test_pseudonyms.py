"""Spellings of one value share a pseudonym; pseudonyms cannot be guessed without the key."""

import pytest

from tasks.core.privacy.pseudonyms import PSEUDONYM, Pseudonyms


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("EMAIL", "Jane.Doe@Corp.example", "jane.doe@corp.example"),
        ("PHONE", "+1 (415) 555-0132", "415.555.0132"),
        ("PHONE", "(212) 555-0187 x12", "212-555-0187"),
        ("CARD", "4111 1111 1111 1111", "4111-1111-1111-1111"),
        ("IBAN", "DE89 3704 0044 0532 0130 00", "DE89370400440532013000"),
        ("NATIONAL_ID", "75830318-P", "75830318P"),
        ("IP", "2001:db8:0:0::1", "2001:0DB8::1"),
        ("PERSON", "Jane\n   Doe", "Jane Doe"),
    ],
)
def test_two_spellings_have_one_pseudonym(name: str, one: str, other: str) -> None:
    pseudonyms = Pseudonyms(b"key")
    assert pseudonyms.of(name, one) == pseudonyms.of(name, other)


def test_secrets_differ_by_every_character() -> None:
    pseudonyms = Pseudonyms(b"key")
    assert pseudonyms.of("SECRET", "Hunter2") != pseudonyms.of("SECRET", "hunter2")


def test_a_pseudonym_names_its_class_and_is_recognised() -> None:
    assert PSEUDONYM.fullmatch(Pseudonyms(b"key").of("NATIONAL_ID", "x"))
    assert Pseudonyms(b"key").of("EMAIL", "x").startswith("<EMAIL_")
