"""Detect identity, tax and social-security numbers of people, each with its checksum.

Numbers with a strong checksum are taken wherever they stand; those without one (US SSN without dashes, passports) or
with a weak one (NL BSN, PL PESEL) only behind a word that names them. Covered: US, GB, DE, FR, ES, IT, BR, CH, SE,
PL, NL, passports.
"""

import re
from collections.abc import Callable

from tasks.core.privacy import checksums
from tasks.core.privacy.spans import Bounds, Pattern, stands_alone

NAME = "NATIONAL_ID"
SEPARATORS = re.compile(r"[^A-Z0-9]")
JOINED_BEFORE, JOINED_AFTER = re.compile(r"\w[.,-]\Z"), re.compile(r"[.-]\d")  # part of a longer number


def _checked(is_valid: Callable[[str], bool]) -> Callable[[re.Match[str]], Bounds | None]:
    def accept(match: re.Match[str]) -> Bounds | None:
        text, (start, end) = match.string, match.span(match.lastgroup or 0)
        if not stands_alone(text, start, end):
            return None
        if JOINED_BEFORE.search(text, max(start - 2, 0), start) or JOINED_AFTER.match(text, end):
            return None
        return (start, end) if is_valid(SEPARATORS.sub("", text[start:end].upper())) else None

    return accept


def _any(compact: str) -> bool:
    return len(set(compact)) > 1


CODICE_FISCALE = Pattern(
    NAME,
    r"[A-Z]{6}[0-9]{2}[A-EHLMPRST][0-9]{2}[A-Z][0-9]{3}[A-Z]",
    _checked(checksums.is_it_codice_fiscale),
    hint=r"[0-9]{2}[A-EHLMPRST][0-9]{2}[A-Z][0-9]{3}[A-Z]",
)
NATIONAL_NUMBERS = (  # each holds six digits
    Pattern(NAME, r"[0-9]{3}-[0-9]{2}-[0-9]{4}", _checked(checksums.is_us_ssn)),
    Pattern(NAME, r"[A-Z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-DFMPT]", _checked(checksums.is_uk_nino)),
    Pattern(NAME, r"[1-9][0-9] ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}", _checked(checksums.is_de_tax_id)),
    Pattern(
        NAME,
        r"[1-478] ?[0-9]{2} ?[0-9]{2} ?(?:[0-9]{2}|2[AB]) ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}",
        _checked(checksums.is_fr_insee),
    ),
    Pattern(NAME, r"(?:[XYZ][ -]?[0-9]{7}|[0-9]{8})[ -]?[A-Z]", _checked(checksums.is_es_dni)),
    Pattern(NAME, r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}", _checked(checksums.is_br_cpf)),
    Pattern(NAME, r"756\.?[0-9]{4}\.?[0-9]{4}\.?[0-9]{2}", _checked(checksums.is_ch_ahv)),
    Pattern(NAME, r"(?:19|20)?[0-9]{6}[-+][0-9]{4}", _checked(checksums.is_se_personnummer)),
)
CUED_NATIONAL_NUMBERS = (
    Pattern(
        NAME,
        r"(?i:ssn|social security)[^0-9\n]{0,24}(?P<number>[0-9]{3}[ -]?[0-9]{2}[ -]?[0-9]{4})",
        _checked(checksums.is_us_ssn),
    ),
    Pattern(NAME, r"(?i:pesel)[^0-9\n]{0,16}(?P<number>[0-9]{11})", _checked(checksums.is_pl_pesel)),
    Pattern(NAME, r"(?P<number>[0-9]{11})[ (,]{1,2}PESEL", _checked(checksums.is_pl_pesel)),
    Pattern(NAME, r"(?i:bsn|burgerservicenummer)[^0-9\n]{0,16}(?P<number>[0-9]{9})", _checked(checksums.is_nl_bsn)),
    Pattern(
        NAME,
        r"(?i:passport)(?: ?(?i:number|no\.?|nr\.?))?[:# is]{0,5}(?P<number>[A-Z]{0,2}[0-9]{6,9})",
        _checked(_any),
    ),
)
