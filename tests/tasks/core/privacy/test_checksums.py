"""Numbers with check digits: real ones pass, one wrong digit does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.privacy import checksums


def digits(length: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", min_size=length, max_size=length)


def completed(body: str, is_valid, alphabet: str = "0123456789") -> str:  # type: ignore[no-untyped-def]
    """Return `body` with the one check character that makes it valid."""
    return next(body + last for last in alphabet if is_valid(body + last))


@given(digits(15), st.integers(0, 15), st.integers(1, 9))
def test_luhn_finds_every_single_wrong_digit(body: str, place: int, shift: int) -> None:
    number = completed(body, checksums.luhn)
    wrong = number[:place] + str((int(number[place]) + shift) % 10) + number[place + 1 :]
    assert not checksums.luhn(wrong)


@given(digits(18), st.integers(4, 21), st.integers(1, 9))
def test_iban_finds_every_single_wrong_digit(account: str, place: int, shift: int) -> None:
    check = 98 - int(account + "131400") % 97  # D = 13, E = 14
    number = f"DE{check:02d}{account}"
    wrong = number[:place] + str((int(number[place]) + shift) % 10) + number[place + 1 :]
    assert checksums.is_iban(number)
    assert not checksums.is_iban(wrong)


def test_iban_needs_the_length_of_its_country() -> None:
    assert checksums.is_iban("GB29NWBK60161331926819")
    assert not checksums.is_iban("GB29NWBK601613319268190")
    assert not checksums.is_iban("XX29NWBK60161331926819")


@pytest.mark.parametrize(
    "number",
    [
        "4111111111111111",
        "5555555555554444",
        "2223003122003222",
        "378282246310005",
        "30569309025904",
        "6011111111111117",
        "3530111333300000",
        "6200000000000005",
        "6759649826438453",
        "4222222222222",
    ],
)
def test_cards_of_every_issuer_pass(number: str) -> None:
    assert checksums.is_card(number)


@pytest.mark.parametrize("number", ["4111111111111112", "9780306406157", "1234567812345670", "411111111111111"])
def test_numbers_of_no_issuer_or_with_a_wrong_digit_are_no_cards(number: str) -> None:
    assert not checksums.is_card(number)


@pytest.mark.parametrize("number", ["000123456", "666123456", "912345678", "123004567", "123450000", "12345678"])
def test_social_security_numbers_never_issued_are_refused(number: str) -> None:
    assert not checksums.is_us_ssn(number)


@pytest.mark.parametrize(
    ("is_valid", "right", "wrong"),
    [
        (checksums.is_us_ssn, "536904399", "666904399"),
        (checksums.is_uk_nino, "JZ848032D", "DZ848032D"),
        (checksums.is_uk_nino, "AB123456C", "GB123456C"),
        (checksums.is_de_tax_id, "72689542022", "72689542023"),
        (checksums.is_de_tax_id, "86095742719", "11111111111"),
        (checksums.is_fr_insee, "255081416802538", "255081416802539"),
        (checksums.is_fr_insee, "193122B04200344", "193122B04200345"),
        (checksums.is_fr_insee, "255081416802538", "355081416802538"),
        (checksums.is_es_dni, "12345678Z", "12345678A"),
        (checksums.is_es_dni, "X4353035D", "X4353035E"),
        (checksums.is_es_dni, "Y1234567X", "1234567X"),
        (checksums.is_it_codice_fiscale, "RSSMRA85T10A562S", "RSSMRA85T10A562T"),
        (checksums.is_it_codice_fiscale, "BRCGNR56P58D110M", "BRCGNR56P58D110"),
        (checksums.is_br_cpf, "17042148908", "17042148909"),
        (checksums.is_br_cpf, "52998224725", "11111111111"),
        (checksums.is_ch_ahv, "7565086193426", "7565086193427"),
        (checksums.is_pl_pesel, "77032213973", "77032213974"),
        (checksums.is_pl_pesel, "44051401359", "44135101359"),
        (checksums.is_nl_bsn, "538927732", "538927733"),
        (checksums.is_nl_bsn, "111222333", "000000000"),
        (checksums.is_se_personnummer, "7207091369", "7207091368"),
        (checksums.is_se_personnummer, "197207091369", "7219091369"),
    ],
)
def test_national_numbers(is_valid, right: str, wrong: str) -> None:  # type: ignore[no-untyped-def]
    assert is_valid(right)
    assert not is_valid(wrong)


@given(st.from_regex(r"[1-9][0-9]{10}", fullmatch=True))
def test_a_german_tax_id_has_one_right_check_digit_at_most(number: str) -> None:
    assert sum(checksums.is_de_tax_id(number[:10] + last) for last in "0123456789") <= 1
