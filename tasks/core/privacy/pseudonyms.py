"""Pseudonyms: the same value becomes the same typed placeholder in every record.

`<EMAIL_3f9a2c1d>` is the class and the first 32 bits of an HMAC-SHA256 (RFC 2104) of the normalised value. Without
the key it can be neither computed nor undone by trying values. 32 bits keep the text readable: among 10,000 distinct
values of a class two share a pseudonym with probability 1 %.
"""

import hashlib
import hmac
import ipaddress
import re
from dataclasses import dataclass

HEX_DIGITS = 8
PSEUDONYM = re.compile(rf"<[A-Z][A-Z0-9_]*_[0-9a-f]{{{HEX_DIGITS}}}>")


def normalise(name: str, value: str) -> str:
    """Return what two spellings of one value have in common."""
    if name == "PHONE":
        digits = re.sub(r"\D", "", re.split(r"[xe]", value)[0]).lstrip("0")
        return digits[1:] if len(digits) == 11 and digits[0] == "1" else digits
    if name in ("CARD", "IBAN", "NATIONAL_ID"):
        return re.sub(r"\W", "", value).upper()
    if name == "IP":
        return ipaddress.ip_address(value).compressed
    if name == "SECRET":
        return value
    return " ".join(value.casefold().split())


@dataclass(frozen=True)
class Pseudonyms:
    """Makes pseudonyms under one key."""

    key: bytes

    def of(self, name: str, value: str) -> str:
        """Return the pseudonym of `value` in class `name`."""
        message = f"{name}\x1f{normalise(name, value)}".encode("utf-8", "surrogatepass")
        return f"<{name}_{hmac.digest(self.key, message, hashlib.sha256).hex()[:HEX_DIGITS]}>"
