"""Text as it should have been written: NFC, plain spaces and line ends, no control characters, no boilerplate lines.

Indentation, blank lines between paragraphs and the spacing inside a line stay: they carry meaning in code and
signatures. Every function maps a column of texts and touches only those that need it; each is idempotent. Unicode
normalisation: UAX #15.
"""

import re
from collections.abc import Callable, Collection, Sequence

import polars as pl

SPACES = "[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]"
LINE_ENDS = "\r\n?|[\u0085\u2028\u2029\x0b\x0c]"
INVISIBLE = (
    "[\x00-\x08\x0e-\x1f\x7f-\u0084\u0086-\u009f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]"
)
ASCII_CONTROL = "[\x00-\x08\x0b-\x1f\x7f]"
MAY_COMPOSE = (  # every character that NFC may change, alone or with a neighbour, and some more
    r"[\p{M}\u0340-\u0344\u0374\u037e\u0387\u0900-\u0fff\u1100-\u11ff\u1f00-\u1fff\u2000\u2001\u2126\u212a\u212b\u2329\u232a"
    r"\u2adc\uf900-\ufaff\ufb1d-\ufb4f\U000105c0-\U0001247f\U00016000-\U00016fff\U0001d100-\U0001d1ff\U0002f800-\U0002fa1f]"
)
NOT_PLAIN = f"{LINE_ENDS}|{SPACES}|{INVISIBLE}|{MAY_COMPOSE}"
UNTIDY = r"[ \t]\n|\n\n\n"


def normalise(texts: pl.Series) -> pl.Series:
    """Return the texts in NFC, with plain spaces and line ends and without control characters and outer blank lines."""
    foreign = _rows(texts, texts.str.len_bytes() != texts.str.len_chars(), lambda some: some.str.contains(NOT_PLAIN))
    texts = _where(texts, texts.str.contains(ASCII_CONTROL) | foreign, _plain_characters)
    texts = _where(texts, texts.str.contains(UNTIDY), _tidy_lines)
    opens_blank = texts.str.starts_with("\n") | texts.str.starts_with(" ") | texts.str.starts_with("\t")
    closes_blank = texts.str.ends_with("\n") | texts.str.ends_with(" ") | texts.str.ends_with("\t")
    return _where(texts, opens_blank | closes_blank, _without_outer_blanks)


def one_line(texts: pl.Series) -> pl.Series:
    """Return normalised texts on one line, runs of white space as one space."""
    return normalise(texts).str.replace_all(r"\s+", " ").str.strip_chars()


def boilerplate_pattern(patterns: Sequence[str]) -> str:
    """Return one regular expression that matches a whole line of boilerplate, its line end included."""
    return r"(?im)^[ \t]*(?:" + "|".join(f"(?:{pattern})" for pattern in patterns) + r")[ \t.]*(?:\n|\z)"


def without_lines(texts: pl.Series, pattern: str) -> pl.Series:
    """Return the texts without the lines that `pattern` matches."""
    return _where(texts, texts.str.contains(pattern), lambda some: normalise(some.str.replace_all(pattern, "")))


def lines_lost(before: str, after: str) -> list[str]:
    """Return the lines of `before` that `after` lacks, stripped, in order."""
    kept = {line.strip() for line in after.split("\n")}
    return [line for line in map(str.strip, before.split("\n")) if line and line not in kept]


def quote_without(quote: str, lost: Collection[str]) -> str:
    """Return a quotation from a text that lost some lines: without them, empty where it came from one of them."""
    if any(quote.strip() in line for line in lost):
        return ""
    kept = [line for line in quote.split("\n") if line.strip() not in lost]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip("\n").rstrip()


def outer_lines(texts: pl.Series, depth: int) -> pl.DataFrame:
    """Return the first and last `depth` lines of each text that is longer than both, as columns `head` and `tail`."""
    lines = texts.str.split("\n")
    rows = pl.DataFrame({"lines": lines}).with_row_index("row").filter(pl.col("lines").list.len() > 2 * depth)
    return rows.select("row", head=pl.col("lines").list.head(depth), tail=pl.col("lines").list.tail(depth))


def without_outer_lines(text: str, heads: Collection[str], tails: Collection[str], depth: int) -> str:
    """Return `text` without lines of `heads` at its beginning and lines of `tails` at its end, `depth` at most each."""
    lines = text.split("\n")
    first, last = 0, len(lines)
    while first < min(depth, last) and lines[first].strip() in heads:
        first += 1
    while last > max(first, len(lines) - depth) and lines[last - 1].strip() in tails:
        last -= 1
    return "\n".join(lines[first:last])


def _rows(texts: pl.Series, first: pl.Series, then: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Return where `first` holds and `then` too, which is asked only about those."""
    indices = first.arg_true()
    return first.clone().scatter(indices, then(texts.gather(indices))) if len(indices) else first


def _where(texts: pl.Series, rows: pl.Series, change: Callable[[pl.Series], pl.Series]) -> pl.Series:
    indices = rows.arg_true()  # scatter changes its series, hence the clone
    return texts.clone().scatter(indices, change(texts.gather(indices))) if len(indices) else texts


def _plain_characters(texts: pl.Series) -> pl.Series:
    texts = texts.str.replace_all(LINE_ENDS, "\n").str.replace_all(SPACES, " ").str.replace_all(INVISIBLE, "")
    return _where(texts, texts.str.contains(MAY_COMPOSE), lambda some: some.str.normalize("NFC"))


def _without_outer_blanks(texts: pl.Series) -> pl.Series:
    return texts.str.replace(r"^(?:[ \t]*\n)+", "").str.strip_chars_end(" \t\n")


def _tidy_lines(texts: pl.Series) -> pl.Series:
    return texts.str.replace_all(r"[ \t]+\n", "\n").str.replace_all(r"\n{3,}", "\n\n")
