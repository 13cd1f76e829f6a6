"""Made-up personal data to plant, and the bytes in which to look for it afterwards."""

import gzip
import json
import random
import zipfile
from pathlib import Path

import polars as pl


def luhn_card(rng: random.Random) -> str:
    digits = [4, *(rng.randrange(10) for _ in range(14))]
    total = sum(d if i % 2 else sum(divmod(2 * d, 10)) for i, d in enumerate(digits))
    return "".join(map(str, [*digits, -total % 10]))


def iban(rng: random.Random) -> str:
    account = "".join(str(rng.randrange(10)) for _ in range(18))
    check = 98 - int(f"{account}131400") % 97  # D=13, E=14: ISO 13616
    return f"DE{check:02d}{account}"


def planted(rng: random.Random) -> list[tuple[str, str]]:
    """Return 100 (sentence, secret) pairs: ten of each class."""
    given = ["Margaret", "Thomas", "Claudia", "Patrick", "Susanne"]
    family = ["Whitfield", "Petersen", "Kowalski", "Moreau"]
    people = iter(rng.sample([f"{first} {last}" for first in given for last in family], 10))
    word = "abcdefghijklmnopqrstuvwxyz"
    text = lambda n, letters=word: "".join(rng.choice(letters) for _ in range(n))  # noqa: E731
    makers = {
        "Ask {} about it.": lambda: f"{text(6)}.{text(7)}@{text(8)}.com",
        "Call {} before noon.": lambda: f"+1 {rng.randint(201, 989)}-{rng.randint(201, 989)}-{rng.randint(1000, 9999)}",
        "The card {} was charged.": lambda: luhn_card(rng),
        "Please transfer the money to {} today.": lambda: iban(rng),
        "The login came from {} at night.": lambda: (
            f"{rng.randint(11, 99)}.{rng.randint(16, 250)}.{rng.randint(1, 250)}.{rng.randint(2, 250)}"
        ),
        "The social security number is {}.": lambda: (
            f"{rng.randint(100, 665)}-{rng.randint(10, 99)}-{rng.randint(1000, 9999)}"
        ),
        "My name is {} and I wait for an answer.": lambda: next(people),
        "The key AWS_ACCESS_KEY_ID={} still works.": lambda: "AKIA" + text(16, word.upper() + "234567"),
        "Use the token {} for the call.": lambda: "ghp_" + text(36, word + word.upper() + "0123456789"),
        "The colleague wrote sk key {} down.": lambda: "sk-" + text(48, word + word.upper() + "0123456789"),
    }
    pairs = [(sentence.format(value := make()), value) for sentence, make in makers.items() for _ in range(10)]
    assert len({value for _, value in pairs}) == 100
    return pairs


def readable_bytes(path: Path) -> bytes:
    """Return the file's bytes, and beside them what a compressed table or archive holds."""
    content = path.read_bytes()
    if content.startswith(b"PAR1"):
        rows = pl.read_parquet(path).to_dicts()
        return content + json.dumps(rows, ensure_ascii=False, default=str).encode()
    if content.startswith(b"\x1f\x8b"):
        return content + gzip.decompress(content)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return content + b"".join(archive.read(name) for name in archive.namelist())
    return content
