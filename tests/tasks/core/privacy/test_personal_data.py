"""Structured personal data: what is found, where it ends, and what only looks like it."""

import pytest

from tasks.core.privacy.personal_data import structured_detectors
from tasks.core.privacy.pseudonyms import Pseudonyms
from tasks.core.privacy.redaction import Redactor

FINDER = Redactor(structured_detectors(), Pseudonyms(b""))


def found(text: str) -> list[tuple[str, str]]:
    """Return class and value of each span."""
    return [(span.name, text[span.start : span.end]) for span in FINDER.find(text)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("to <first.last@sub.dept.uni.ac.uk>, now", "first.last@sub.dept.uni.ac.uk"),
        ("mail a@b.co.", "a@b.co"),
        ("(x+tag@y.example)", "x+tag@y.example"),
        ("'quoted@host.org'", "quoted@host.org"),
        ("info@bäckerei-schmidt.de", "info@bäckerei-schmidt.de"),
    ],
)
def test_an_address_ends_where_the_sentence_goes_on(text: str, value: str) -> None:
    assert found(text) == [("EMAIL", value)]


@pytest.mark.parametrize(
    "text",
    [
        "git@github.com:org/repo.git",
        "@functools.wraps",
        "user@localhost",
        "a @ b.c",
        "https://user:password@example.com/x",
        "x@1.2",
    ],
)
def test_what_holds_an_at_sign_is_not_always_an_address(text: str) -> None:
    assert found(text) == []


def test_a_card_ends_before_the_expiry_date() -> None:
    assert found("Visa 4111 1111 1111 1111 12/27 and 123") == [("CARD", "4111 1111 1111 1111")]


@pytest.mark.parametrize(
    "text",
    ["4111111111111111000", "x4111111111111111", "3.4111111111111111", "4111 11111111 1111", "4111-1111 1111-1111"],
)
def test_digits_inside_something_longer_or_oddly_grouped_are_no_card(text: str) -> None:
    assert found(text) == []


def test_an_iban_may_be_grouped_and_ends_at_its_countrys_length() -> None:
    assert found("IBAN GB29 NWBK 6016 1331 9268 19 for 50 EUR") == [("IBAN", "GB29 NWBK 6016 1331 9268 19")]
    assert found("GB29 NWBK 6016 1331 9268 18") == []
    assert found("DE89 3704") == []


@pytest.mark.parametrize(
    "text", ["127.0.0.1", "0.0.0.0", "255.255.255.0", "::1", "1.2.3.256", "01.2.3.4", "1.2.3.4.5", "v1.2.3.4"]
)
def test_addresses_of_nobody_and_version_numbers_stay(text: str) -> None:
    assert found(f"at {text} it") == []


@pytest.mark.parametrize(
    "text",
    ["version 1.2.3.4", "release: 10.0.0.2", "Chrome/98.0.4758.102", "x==1.2.3.4", "1.2.3.4-beta", "section 4.2.1.3"],
)
def test_what_stands_before_or_behind_tells_a_version_from_an_address(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("http://192.168.178.31:8080/", "192.168.178.31"),
        ("from 203.0.113.77.", "203.0.113.77"),
        ("[2a00:1450:4001:80b::200e]:443", "2a00:1450:4001:80b::200e"),
        ("inet6 fe80::1/64", "fe80::1"),
        ("at b51d:724c:9950:7f26:7cca:d046:7669:2df4", "b51d:724c:9950:7f26:7cca:d046:7669:2df4"),
        ("gateway 2001:db8::8a2e:370:7334:", "2001:db8::8a2e:370:7334"),
    ],
)
def test_addresses_are_found_with_ports_and_brackets_around(text: str, value: str) -> None:
    assert found(text) == [("IP", value)]


@pytest.mark.parametrize(
    "text", ["x[1::2]", "x[::2]", "std::dead::beef", "2001::", "12:34:56", "00:1a:2b:3c:4d:5e", "abcd:ef"]
)
def test_slices_times_and_hardware_addresses_are_no_ip_addresses(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("call +1 415 555 0132 now", "+1 415 555 0132"),
        ("+49 (0)89 1234567", "+49 (0)89 1234567"),
        ("0046701740605", "0046701740605"),
        ("(212) 555-0187 x12", "(212) 555-0187 x12"),
        ("617-555-0143 2 times", "617-555-0143"),
        ("020 7946 0958", "020 7946 0958"),
        ("(0711) 685-0 ist", "(0711) 685-0"),
        ("01 42 68 53 00", "01 42 68 53 00"),
        ("text 555-0199", "555-0199"),
        ("001-800-485-6183x29543", "001-800-485-6183x29543"),
        ("01214960696", "01214960696"),
        ("(0161)4960735", "(0161)4960735"),
        ("Phone: 4155550177", "4155550177"),
    ],
)
def test_phone_numbers_of_several_countries(text: str, value: str) -> None:
    assert found(text) == [("PHONE", value)]


@pytest.mark.parametrize(
    "text",
    [
        "+1.2345678901",
        "02110-1301",
        "0000 0120 4567 8910 abcd",
        "call 2867200",
        "call 2024-05-01",
        "123-456-7890",
        "0306406152",
        "0123456789",
        "0000123456",
        "range 1:617-555-0143",
        "tel 12.5000000",
        "reach 123.45.67.89 (123.45.67.89",
    ],
)
def test_numbers_that_are_no_phone_numbers(text: str) -> None:
    assert [name for name, _ in found(text) if name == "PHONE"] == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("ssn: 536904399", "536904399"),
        ("536-90-4399", "536-90-4399"),
        ("NI KW931865A.", "KW931865A"),
        ("DNI 75830318-P", "75830318-P"),
        ("codice TRSMRN71E10H220Q", "TRSMRN71E10H220Q"),
        ("CPF 170.421.489-08", "170.421.489-08"),
        ("pesel 77032213973", "77032213973"),
        ("44051401359 PESEL", "44051401359"),
        ("BSN 538927732", "538927732"),
        ("passport no. C01234567", "C01234567"),
    ],
)
def test_national_numbers(text: str, value: str) -> None:
    assert found(text) == [("NATIONAL_ID", value)]


@pytest.mark.parametrize(
    "text",
    ["536904399", "77032213973", "538927732", "12345678Z9", "passport 1111111", "1.536-90-4399", "536-90-4399.5"],
)
def test_weak_numbers_need_a_word_that_names_them(text: str) -> None:
    assert found(text) == []


def test_a_secret_in_an_address_wins_over_the_e_mail_it_looks_like() -> None:
    assert found("postgres://app:p9Xk2vQe@db.internal.net:5432") == [("SECRET", "p9Xk2vQe")]


def test_a_very_long_line_takes_no_longer_than_its_length() -> None:
    for piece in ("a", "1", "a.", "1 ", "-", "key", "A1", "+1 ", "x@"):
        text = piece * (20_000 // len(piece))
        assert isinstance(found(f"jane@corp.example {text}"), list)
