"""Detect credentials in a text: keys, tokens and passwords.

Issuers' own prefixes are taken as they stand (the formats are published by GitHub, Slack, Stripe, AWS, Google and so
on); anything else must be assigned to a name that says secret and look random: letters mixed with digits or signs,
and enough Shannon entropy. A password that is a plain word is not found.
"""

import math
import re
from collections import Counter

from tasks.core.privacy.spans import Bounds, Pattern, starts_word

NAME = "SECRET"
MIN_ENTROPY_BITS = 2.5  # per character: 'hunter2' has 2.8, 'aaaa1111' has 1.0
MIN_TOKEN_LENGTH = 12
PLACEHOLDERS = re.compile(
    r"(?i)(?:(?:api|app|auth|access|account|jwt|master|your|my|the|some|new|old)[-_ ]?)*"
    r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|key|id|user(?:name)?|example|changeme|placeholder|none|null|true|false|test"
    r"|x+|\*+|\.+)(?:[-_ ]?(?:pass(?:word|wd)?|secret|token|key|id|here|\d{1,3}))*"
)
CODE = re.compile(
    r"^https?://|[(){}\[\]$\\]|%[(s]|^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+$|^[A-Za-z_]+$|^[-+]?\d+(?:\.\d+)?$|^0[xob]\w{1,6}$"
)

PASSWORD_CODE = re.compile(  # passwords hold signs that elsewhere mean code
    r"^https?://|^[A-Za-z_][A-Za-z_.]{2,}[(\[]|^\w[\w.]*\(.*\)$|^\$\{?[A-Za-z_]\w*\}?$|^%(?:\(\w+\))?[sdr]$|^\{"
    r"|^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+$|^[A-Za-z_]+$|^[-+]?\d+(?:\.\d+)?$"
)
KINDS = [re.compile(kind) for kind in (r"[a-z]", r"[A-Z]", r"\d", r"[^\w]")]
NO_LETTER = re.compile(r"[\d\W_]")


def entropy_bits(text: str) -> float:
    """Return the Shannon entropy of the characters of `text`, in bits per character."""
    total = len(text)
    return -sum(count / total * math.log2(count / total) for count in Counter(text).values()) if total else 0.0


def looks_random(value: str, min_length: int, code: re.Pattern[str] = CODE) -> bool:
    """Return whether `value` is more likely a secret than a word, a number, a piece of code or a placeholder."""
    if len(value) < min_length or code.search(value) or PLACEHOLDERS.fullmatch(value):
        return False
    kinds = sum(bool(kind.search(value)) for kind in KINDS)
    return kinds >= 2 and bool(NO_LETTER.search(value)) and entropy_bits(value) >= MIN_ENTROPY_BITS


def _assigned(match: re.Match[str]) -> Bounds | None:
    text, start = match.string, match.start("value")
    before = re.search(r"[\w-]{0,30}$", text[max(match.start() - 30, 0) : match.start()])
    name = (before.group() if before else "") + match["name"]
    value = match["value"].rstrip(".,;:)\\")
    if not SECRET_NAME.search(name):
        return None
    is_password = PASSWORD_NAME.search(name)
    is_secret = looks_random(value, 6, PASSWORD_CODE) if is_password else looks_random(value, MIN_TOKEN_LENGTH)
    return (start, start + len(value)) if is_secret else None


def _token(match: re.Match[str]) -> Bounds | None:
    start, end = match.span("value")
    return (start, end) if looks_random(match["value"], 16) and re.search(r"\d", match["value"]) else None


def _in_url(match: re.Match[str]) -> Bounds | None:
    value = match["value"]
    is_code = CODE.search(value) is not None and not value.isalnum()
    return None if PLACEHOLDERS.fullmatch(value) or is_code else match.span("value")


def _prefixed(match: re.Match[str]) -> Bounds | None:
    start, end = match.span()
    if not starts_word(match.string, start) or len(set(match.group()[-12:])) < 4:  # sk-xxxxxxxxxxxx
        return None
    return start, end


def _private_key(match: re.Match[str]) -> Bounds | None:
    text, start = match.string, match.start()
    end = re.compile(r"-----END [A-Z ]{0,24}PRIVATE KEY-----").search(text, match.end())
    body = re.compile(r"(?:[\sA-Za-z0-9+/=\\]|[A-Z][A-Za-z-]*: [^\n]*\n)*").match(text, match.end())
    assert body is not None
    return start, end.end() if end and end.start() - match.end() < 20_000 else len(text[: body.end()].rstrip())


PASSWORD_NAME = re.compile(
    r"(?i)(?<![a-z])(?:pass(?:word|wd|phrase|wort|code)?|pwd|kennwort|contraseña|passe)(?:[_-]?\w+)?$"
)
SECRET_NAME = re.compile(
    r"(?i)pass(?:word|wd|phrase|wort|code)|(?:^|[_-])pass$|pwd|kennwort|contraseña|passe$|secret|token|credential"
    r"|(?:api|access|account|auth|private|signing|encryption|client|master|shared|license)[ _-]?key"
)
STEM = "|".join(
    spelling
    for stem in ("pass", "pwd", "kennwort", "contraseña", "secret", "token", "credential", "key")
    for spelling in (stem, stem.capitalize(), stem.upper())
)
ASSIGNED = r"[\"'`]?\s{0,3}(?::=|=>|=|:| is | was | lautet | est | es )\s{0,3}(?:[bru]{0,2}[\"'`])?"
VALUE = r"[^\s\"'`<>,]"
KEYS_AND_TOKENS: tuple[Pattern, ...] = (
    Pattern(NAME, r"-----BEGIN [A-Z ]{0,24}PRIVATE KEY-----", _private_key),
    Pattern(
        NAME,
        r"(?:(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}"  # AWS access key ids
        r"|gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_[A-Za-z0-9_]{22,255}|glpat-[A-Za-z0-9_-]{20,64}"
        r"|sk-(?:ant-|proj-|svcacct-|or-)?[A-Za-z0-9_-]{20,220}"  # OpenAI, Anthropic and compatible
        r"|xox[abeoprs]-[A-Za-z0-9-]{10,250}|xapp-[A-Za-z0-9-]{10,250}|hooks\.slack\.com/services/[A-Za-z0-9/]{20,80}"
        r"|(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,120}|whsec_[A-Za-z0-9+/=]{16,80}"  # Stripe
        r"|AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,250}|GOCSPX-[A-Za-z0-9_-]{20,40}"  # Google
        r"|npm_[A-Za-z0-9]{30,40}|hf_[A-Za-z0-9]{30,40}|pypi-AgE[A-Za-z0-9_-]{40,250}|dop_v1_[a-f0-9]{64}"
        r"|SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}"  # SendGrid
        r"|eyJ[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{4,8000}\.[A-Za-z0-9_-]{8,1000})",  # JSON Web Token, RFC 7519
        _prefixed,
        hint=r"AKIA|ASIA|AROA|AIDA|gh[pousr]_|github_pat_|glpat-|sk-|xox[abeoprs]-|xapp-|hooks\.slack|[srp]k_(?:live|test)_|whsec_"
        r"|AIza|ya29\.|GOCSPX-|npm_|hf_|pypi-AgE|dop_v1_|SG\.|eyJ",
    ),
    Pattern(NAME, r"(?i:bearer|basic|token) (?P<value>[A-Za-z0-9._~+/-]{16,2000}={0,2})", _token),
    Pattern(
        NAME,
        r"[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s:/@<>]{0,64}:(?P<value>[^\s@/<>]{3,128})@",
        _in_url,
        hint=r"://[^\s:/@]{0,64}:[^\s@/]+@",
    ),
)
ASSIGNED_SECRET = Pattern(
    NAME,
    rf"(?P<name>(?:{STEM})[\w-]{{0,24}}){ASSIGNED}(?P<value>{VALUE}{{6,300}})",
    _assigned,
    hint=rf"(?:{STEM})[\w-]{{0,24}}{ASSIGNED}{VALUE}{{0,299}}[^\sA-Za-z_\"'`<>,]",
)
