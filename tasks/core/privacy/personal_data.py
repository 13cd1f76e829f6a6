"""Detectors of personal data other than names: addresses, numbers of people and accounts, secrets.

Every structured class is a shape plus its checksum or its plausible range; classes without one (phones, national
numbers without a check digit) need their usual punctuation or a word before them that says what they are. Policy:
loopback, unspecified and netmask addresses stay, since they point to nobody; every other IP address goes,
documentation ranges included. Lower-case IBANs and numbers spelled in words are not found.
"""

import ipaddress
import re

from tasks.core.privacy.checksums import IBAN_LENGTHS, is_card, is_iban
from tasks.core.privacy.credentials import ASSIGNED_SECRET, KEYS_AND_TOKENS
from tasks.core.privacy.national_ids import CODICE_FISCALE, CUED_NATIONAL_NUMBERS, NATIONAL_NUMBERS
from tasks.core.privacy.spans import Bounds, Detector, Pattern, PatternGroup, stands_alone

PRIORITY = ("SECRET", "IBAN", "CARD", "NATIONAL_ID", "EMAIL", "IP", "PHONE", "PERSON")

CARD_GROUPS = re.compile(r"\d{12,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{1,4}(?:\1\d{1,3})?|\d{4}([ -])\d{6}\2\d{4,5}")
VERSION_BEFORE = re.compile(
    r"(?:\b(?:versions?|ver|release|firmware|build|section|sec|chapter|clause|figure|table|oid)\.?[ :=]{0,2}"
    r"(?:v?[\d.]+(?: (?:to|and|or|through|-) |, ))?|§ ?|[=~<>!]= ?|\w/|\bv\.? ?)$",
    re.IGNORECASE,
)
NO_PHONE = re.compile(r"\(?(?:\d{4}-\d\d-\d\d|\d+\.\d+|\d+(?:\.\d+){3})")  # a date, a fraction, an address
JOINED_BEFORE = re.compile(r"[\w.,:][.,:/-]\Z")  # part of a longer number, a path, a range
JOINED_AFTER = re.compile(r"[.:/-]\d")
MORE_GROUPS_BEFORE, MORE_GROUPS_AFTER = re.compile(r"\d{3} \Z"), re.compile(r"[ ,]\d{3}")  # a row of a table, a dump
US_POSTCODE = re.compile(r"\d{5}-\d{4}")
LOCAL_PART = re.compile(r"\w[\w.%+'-]{0,63}\Z")
PASSWORD_BEFORE = re.compile(r"://[^\s/@]{1,64}:$")
SSH_USERS = frozenset({"git", "hg", "svn"})


def _email(match: re.Match[str]) -> Bounds | None:
    """Accept a domain with an `@` before it, together with the local part that ends there."""
    text, (at, end) = match.string, match.span()
    local = LOCAL_PART.search(text, max(at - 64, 0), at)
    if not local:
        return None
    before = text[max(local.start() - 80, 0) : local.start()]
    if (local.group() in SSH_USERS and text[end : end + 1] in (":", "/")) or PASSWORD_BEFORE.search(before):
        return end, end  # git@host:path, or the password in an address
    return local.start(), end


def _card(match: re.Match[str]) -> Bounds | None:
    text, start = match.string, match.start()
    if start and (text[start - 1].isalnum() or text[start - 1] in "_.+-"):
        return None
    for end in range(
        match.end(), start + 11, -1
    ):  # "4111 1111 1111 1111 12/27": the digits after it are not part of it
        candidate = text[start:end]
        if not stands_alone(text, start, end) or not CARD_GROUPS.fullmatch(candidate):
            continue
        if is_card(re.sub(r"\D", "", candidate)):
            return start, end
    return None


def _iban(match: re.Match[str]) -> Bounds | None:
    text, start = match.string, match.start()
    length, end, seen = IBAN_LENGTHS.get(match.group()[:2], 0), start, ""
    while len(seen) < length and end < len(text):
        character = text[end]
        if character.isascii() and character.isalnum():
            seen += character
        elif character not in " -" or not text[end - 1].isalnum():
            return None
        end += 1
    return (start, end) if is_iban(seen) and stands_alone(text, start, end) else None


def _ipv4(match: re.Match[str]) -> Bounds | None:
    text, (start, end) = match.string, match.span()
    octets = match.group().split(".")
    if any(int(octet) > 255 or (len(octet) > 1 and octet[0] == "0") for octet in octets):
        return None
    if octets[0] in ("0", "127", "255") or not stands_alone(text, start, end) or text[max(start - 1, 0) : start] == ".":
        return None
    if re.match(r"\.\d|[-+][A-Za-z]", text[end : end + 2]) or VERSION_BEFORE.search(text[max(start - 32, 0) : start]):
        return None
    return start, end


def _ipv6(match: re.Match[str]) -> Bounds | None:
    text, (start, end) = match.string, match.span()
    candidate = match.group().rstrip(":") if not match.group().endswith("::") else match.group()
    end = start + len(candidate)
    if not stands_alone(text, start, end) or text[max(start - 1, 0) : start] == ":":
        return None
    return (start, end) if _is_address_v6(candidate) else None


def _is_address_v6(text: str) -> bool:
    """Return whether `text` is a whole address, or a shortened global, local or multicast one.

    `1::2` is a slice far more often than an address.
    """
    try:
        address = int(ipaddress.IPv6Address(text))
    except ValueError:
        return False
    groups = [group for group in text.split(":") if group]
    if address in (0, 1) or len(groups) == 8:
        return address not in (0, 1)
    is_routable = address >> 125 == 1 or address >> 120 >= 0xFC
    return is_routable and (len(groups) >= 3 or (len(groups) == 2 and address >> 118 == 0b1111111010))


def _digits(text: str) -> int:
    return sum(character.isdigit() for character in text)


def _phone_international(match: re.Match[str]) -> Bounds | None:
    text, number = match.string, match["number"]
    separators = re.sub(r"[+\d]", "", number)
    if not 9 <= _digits(number) <= 15 or separators == "." or not stands_alone(text, *match.span(), also="+"):
        return None
    return None if re.match(r"[ .-]\d", text[match.end() : match.end() + 2]) else match.span()


def _phone_north_american(match: re.Match[str]) -> Bounds | None:
    text, (start, end) = match.string, match.span()
    if not stands_alone(text, start, end, also="+$€£") or JOINED_BEFORE.search(text, max(start - 2, 0), start):
        return None
    return None if JOINED_AFTER.match(text, end) else (start, end)


def _phone_national(match: re.Match[str]) -> Bounds | None:
    text, (start, end), number = match.string, match.span(), match["number"]
    least = 8 if number.startswith("(") else 9
    if not least <= _digits(number) <= 12 or US_POSTCODE.fullmatch(number):
        return None
    if MORE_GROUPS_BEFORE.search(text, max(start - 4, 0), start) or MORE_GROUPS_AFTER.match(text, end):
        return None
    return _phone_north_american(match)


def _phone_without_separators(match: re.Match[str]) -> Bounds | None:
    """Accept a trunk number, as in Britain and France; ten digits may be an ISBN as well."""
    digits = match["number"]
    is_isbn = len(digits) == 10 and sum(int(digit) * (10 - i) for i, digit in enumerate(digits)) % 11 == 0
    return None if is_isbn or digits in "01234567890" else _phone_national(match)


def _phone_after_cue(match: re.Match[str]) -> Bounds | None:
    start, end = match.span("number")
    number = match["number"]
    least = 9 if number.isdigit() else 7
    if not least <= _digits(number) <= 15 or not stands_alone(match.string, start, end, also="$€£"):
        return None
    return None if NO_PHONE.fullmatch(number) else (start, end)


EXTENSION = r"(?: ?(?i:x|ext\.?) ?[0-9]{1,5})?"
PHONE_CUES = (
    r"(?i:tel|telephone|telefon|phone|mobile|mobil|cell|fax|call|whatsapp|handy|tél|téléphone|teléfono|móvil"
    r"|reach|ring|text|dial|sms|rufen)"
    r"(?: ?(?i:no|nr|num|number|nummer)\.?)?[.:=\"']{0,3}"
    r"(?: (?i:me|us|him|her|them|on|at|is|to|under|number|sie|mich|au|al)){0,3}:? ?[\"']?"
)

SIX_DIGITS = r"[0-9](?:[^0-9A-Za-z]{0,4}[0-9]){5}"
EMAIL = Pattern("EMAIL", r"@(?:[\w-]{1,63}\.){1,6}[^\W\d_]{2,24}", _email, hint=r"[\w.%+'-]@[\w-]+\.\w")
IPV4 = Pattern("IP", r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}", _ipv4)
IPV6 = Pattern(
    "IP", r"[0-9A-Fa-f]{1,4}:(?:[0-9A-Fa-f]{0,4}:){1,6}(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f]{0,4})", _ipv6
)
NUMBERS = (  # each holds six digits
    Pattern(
        "CARD",
        r"[0-9]{12,19}|[0-9]{4}[ -](?:[0-9]{4}[ -][0-9]{4}[ -][0-9]{1,4}(?:[ -][0-9]{1,3})?|[0-9]{6}[ -][0-9]{4,5})",
        _card,
    ),
    Pattern("IBAN", r"[A-Z]{2}[0-9]{2}[ -]?[A-Z0-9]{4}[ -]?[A-Z0-9]{4}", _iban),
    Pattern(
        "PHONE", r"(?P<number>(?:\+|00)[1-9][0-9]{0,2}(?:[ ./-]?[(]?[0-9][)]?){6,13})" + EXTENSION, _phone_international
    ),
    Pattern(
        "PHONE",
        r"(?P<number>(?:1[ .-])?(?:\([2-9][0-9]{2}\) ?[2-9][0-9]{2}[ .-]|[2-9][0-9]{2}(?:-[2-9][0-9]{2}-"
        r"| [2-9][0-9]{2}[ -]|\.[2-9][0-9]{2}\.))[0-9]{4})" + EXTENSION,
        _phone_north_american,
    ),
    Pattern("PHONE", r"(?P<number>0[1-9](?:[ .-][0-9]{2}){4})", _phone_national),
    Pattern("PHONE", r"(?P<number>0[1-9][0-9]{8,9})", _phone_without_separators),
    Pattern(
        "PHONE",
        r"(?P<number>(?:\(0[1-9][0-9]{1,4}\)[ /-]{0,3}|0[1-9][0-9]{1,4}[ /-]{1,3})[0-9]{3,8}(?:[ -][0-9]{1,6}){0,3})",
        _phone_national,
    ),
)
PHONE_AFTER_CUE = Pattern(
    "PHONE", PHONE_CUES + r"(?P<number>\(?\+?[0-9](?:[ ()./-]{0,4}[0-9]){5,16})", _phone_after_cue
)


def structured_detectors() -> list[Detector]:
    """Return the detectors of every class but names."""
    return [
        PatternGroup((EMAIL,)),
        PatternGroup((IPV4,)),
        PatternGroup((IPV6,)),
        PatternGroup((*NUMBERS, *NATIONAL_NUMBERS), gate=SIX_DIGITS, margin=48),
        PatternGroup((PHONE_AFTER_CUE, *CUED_NATIONAL_NUMBERS), gate=SIX_DIGITS),
        PatternGroup((CODICE_FISCALE,)),
        PatternGroup(KEYS_AND_TOKENS),
        PatternGroup((ASSIGNED_SECRET,)),
    ]
