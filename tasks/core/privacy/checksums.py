"""Checksums that tell a real card, account or identity number from digits that only look like one.

Every function takes the number without separators, upper case, and returns whether it is well formed and its check
digits agree. Sources: Luhn, US patent 2,950,048; IBAN, ISO 13616 with ISO 7064 MOD 97-10; German Steuer-ID, ISO 7064
MOD 11,10 (BZSt); the other national numbers by their issuing authorities' published rules. A checksum is no proof:
one random 16-digit number in ten passes Luhn, hence the prefix and length tables.
"""

import re

IBAN_LENGTHS = {  # SWIFT, IBAN Registry
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "CH": 21,
    "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FO": 18,
    "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23,
    "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20,
    "LV": 21, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18, "NO": 15, "PK": 24,
    "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SE": 24, "SI": 19, "SK": 24, "SM": 27,
    "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip

CARD_PREFIXES = re.compile(  # issuer ranges and their lengths, ISO/IEC 7812
    r"""(?: 4\d{12}(?:\d{3}){0,2}                                            # Visa 13, 16, 19
          | (?:5[1-5]\d\d | 222[1-9] | 22[3-9]\d | 2[3-6]\d\d | 27[01]\d | 2720)\d{12}   # Mastercard
          | 3[47]\d{13}                                                      # American Express
          | 3(?:0[0-5]|[689]\d)\d{11}                                        # Diners Club
          | 6(?:011|4[4-9]\d|5\d\d)\d{12}(?:\d{3})?                          # Discover
          | 35\d{14} | (?:2131|1800)\d{11}                                   # JCB
          | 62\d{14,17}                                                      # UnionPay
          | (?:5[0678]|6\d)\d{10,17}                                         # Maestro
        )""",
    re.VERBOSE,
)
DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
CODICE_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (
            1,
            0,
            5,
            7,
            9,
            13,
            15,
            17,
            19,
            21,
            1,
            0,
            5,
            7,
            9,
            13,
            15,
            17,
            19,
            21,
            2,
            4,
            18,
            20,
            11,
            3,
            6,
            8,
            12,
            14,
            16,
            10,
            22,
            25,
            24,
            23,
        ),
        strict=True,
    )
)


def luhn(digits: str) -> bool:
    """Return whether the last digit is the Luhn check digit of the others."""
    values = [int(digit) for digit in reversed(digits)]
    return (sum(values[::2]) + sum(sum(divmod(2 * value, 10)) for value in values[1::2])) % 10 == 0


def is_card(digits: str) -> bool:
    """Return whether `digits` is a payment card number: issuer prefix, its length, Luhn."""
    return CARD_PREFIXES.fullmatch(digits) is not None and luhn(digits)


def is_iban(text: str) -> bool:
    """Return whether `text` has its country's length and the right check digits."""
    if IBAN_LENGTHS.get(text[:2]) != len(text):
        return False
    return int("".join(str(int(character, 36)) for character in text[4:] + text[:4])) % 97 == 1


def is_us_ssn(digits: str) -> bool:
    """Return whether area, group and serial can have been issued (SSA: no 000, 666, 9xx; no 00; no 0000)."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return len(digits) == 9 and area not in ("000", "666") and area[0] != "9" and group != "00" and serial != "0000"


def is_uk_nino(text: str) -> bool:
    """Return whether the prefix can have been issued (HMRC, NIM39110; TN and ZZ are temporary ones)."""
    if not re.fullmatch(r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\d{6}[A-DFMPT]", text):
        return False
    return text[:2] not in ("BG", "GB", "KN", "NK", "NT")


def is_de_tax_id(digits: str) -> bool:
    """Return whether the check digit agrees and one digit repeats two or three times among the first ten."""
    if len(digits) != 11 or digits[0] == "0":
        return False
    counts = sorted((digits[:10].count(digit) for digit in set(digits[:10])), reverse=True)
    if counts[0] not in (2, 3) or counts[1] != 1:
        return False
    product = 10
    for digit in digits[:10]:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(digits[10])


def is_fr_insee(text: str) -> bool:
    """Return whether the two-digit key agrees; Corsican departments are 2A and 2B."""
    if not re.fullmatch(r"[1-478]\d{2}(?:0[1-9]|1[0-2]|[2-9]\d)(?:\d{2}|2[AB])\d{6}\d{2}", text):
        return False
    number = int(text[:13].replace("2A", "19").replace("2B", "18"))
    return 97 - number % 97 == int(text[13:])


def is_es_dni(text: str) -> bool:
    """Return whether the letter of a DNI or NIE agrees."""
    if not re.fullmatch(r"[XYZ\d]\d{7}[A-Z]", text):
        return False
    number = int(text[:-1].translate(str.maketrans("XYZ", "012")))
    return DNI_LETTERS[number % 23] == text[-1]


def is_it_codice_fiscale(text: str) -> bool:
    """Return whether the last letter agrees with the fifteen before it."""
    if not re.fullmatch(r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]", text):
        return False
    odd = sum(CODICE_ODD[character] for character in text[:15:2])
    even = sum(int(character) if character.isdigit() else ord(character) - 65 for character in text[1:15:2])
    return chr(65 + (odd + even) % 26) == text[15]


def is_br_cpf(digits: str) -> bool:
    """Return whether both check digits agree; eleven equal digits are refused."""
    if len(digits) != 11 or len(set(digits)) == 1:
        return False
    return all(_cpf_digit(digits[:length]) == int(digits[length]) for length in (9, 10))


def is_ch_ahv(digits: str) -> bool:
    """Return whether `digits` starts with 756 and its EAN-13 check digit agrees."""
    if len(digits) != 13 or not digits.startswith("756"):
        return False
    return sum(int(digit) * (1, 3)[index % 2] for index, digit in enumerate(digits)) % 10 == 0


def is_pl_pesel(digits: str) -> bool:
    """Return whether the check digit agrees and the first six digits are a date."""
    if len(digits) != 11 or int(digits[2:4]) % 20 not in range(1, 13) or int(digits[4:6]) not in range(1, 32):
        return False
    weights = (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True)) % 10 == 0


def is_nl_bsn(digits: str) -> bool:
    """Return whether nine digits pass the eleven test."""
    weights = (9, 8, 7, 6, 5, 4, 3, 2, -1)
    if len(digits) != 9 or digits == "0" * 9:
        return False
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True)) % 11 == 0


def is_se_personnummer(digits: str) -> bool:
    """Return whether the last ten digits pass Luhn and begin with a date."""
    digits = digits[-10:]
    return len(digits) == 10 and int(digits[2:4]) in range(1, 13) and int(digits[4:6]) in range(1, 32) and luhn(digits)


def _cpf_digit(digits: str) -> int:
    total = sum(int(digit) * weight for digit, weight in zip(digits, range(len(digits) + 1, 1, -1), strict=True))
    return total * 10 % 11 % 10
