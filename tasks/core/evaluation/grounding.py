"""Screen an answer for numbers, names and identifiers that neither its context nor its question contains. Pure.

It is a screen, not a measure of faithfulness: what it flags is nearly always made up, but it cannot see a swapped
relation, a dropped "not" or a wrong claim in words that the context has. The rules are fixed, not fitted: weights
learned on small labelled sets did not carry over from one set to another.
"""

import re
import unicodedata
from collections.abc import Sequence

_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:[.,]\d+)*(?![\w])")
_DIGITS = re.compile(r"\d+(?:[.,]\d+)*")
_IDENTIFIER = re.compile(
    r"(?<!\w)(?:"  # a word's end is no identifier: of 0readText, `readText`
    r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+(?:\(\))?"  # os.path.join
    r"|\w*[A-Za-z]\w*_\w+|__\w+__"  # read_text
    r"|[A-Za-z]+[a-z][A-Z]\w*"  # JSONDecoder, camelCase
    r"|\w*[A-Za-z]\d\w*"  # utf8, md5
    r"|[A-Za-z_]\w*(?=\(\))"  # dumps()
    r")"
)
_QUOTED = re.compile(r"`([^`\n]{2,60})`")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_ANY_WORD = re.compile(r"\w+(?:['-]\w+)*")
_SENTENCE_START = re.compile(r"(?:^|[.!?:]\s+|\n\s*|[\"'“(]\s*)$")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")

_UNITS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_TEENS = ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_VALUES = {
    **{word: value for value, word in enumerate([*_UNITS, *_TEENS], start=1)},
    **{word: 10 * tens for tens, word in enumerate(_TENS, start=2)},
    "zero": 0,
    "twice": 2,
    "thrice": 3,
    "dozen": 12,
    "hundred": 100,
    "thousand": 1000,
}
_IDIOMS = frozenset(("one", "zero", "twice", "dozen", "hundred", "thousand"))  # as words they seldom count anything
_NUMBER_WORD = re.compile(
    r"\b(?=[defhnostz])"  # the first letters: most words are passed over at once
    rf"(?:(?P<tens>{'|'.join(_TENS)})[- ](?P<unit>{'|'.join(_UNITS)})|(?P<single>{'|'.join(_VALUES)}))\b",
    re.IGNORECASE,
)
_CAPITALISED_ANYWAY = (
    "i i'm i'd i've i'll yes no true false none monday tuesday wednesday thursday friday saturday sunday january "
    "february march april may june july august september october november december"
)
NOT_NAMES = frozenset(_CAPITALISED_ANYWAY.split())


def ungrounded_terms(answer: str, context: str, question: str = "") -> list[str]:
    """Return the terms of `answer` that `context` and `question` lack, in order of appearance, each once."""
    plain, source = _plain(answer), _plain(f"{context}\n{question}")
    found = [(at, name) for at, name in _identifiers(plain) if not _holds(source, name)]
    # Searching the source is what costs: it is searched for the answer's numbers only, and only until they are found.
    numbers = [(at, term, value) for at, term, value in _numbers(plain) if term.casefold() not in _IDIOMS]
    unknown = {value for _, _, value in numbers}
    for known in (_digits, _spelled_out):
        unknown = unknown and unknown - known(source)
    found += [(at, term) for at, term, value in numbers if value in unknown]
    if names := _names(plain):
        folded = [(chunk, chunk.casefold()) for chunk in set(source.split())]
        found += [(at, name) for at, name in names if not _known_name(name, folded)]
    return list(dict.fromkeys(term for _, term in sorted(found)))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).replace("’", "'")


def _numbers(text: str) -> list[tuple[int, str, float]]:
    """Return place, wording and value of each number, in digits or in words."""
    digits = [(match.start(), match.group(), _value(match.group())) for match in _NUMBER.finditer(text)]
    return digits + [(match.start(), match.group(), _spelled(match)) for match in _NUMBER_WORD.finditer(text)]


def _digits(source: str) -> set[float]:
    """Return the numbers of the source that are in digits, also those inside words (utf8) and without their sign."""
    values = {_value(digits) for digits in _NUMBER.findall(source)}
    return values | {abs(value) for value in values} | {_value(digits) for digits in _DIGITS.findall(source)}


def _spelled_out(source: str) -> set[float]:
    return {_spelled(match) for match in _NUMBER_WORD.finditer(source)}


def _spelled(match: re.Match[str]) -> float:
    return float(sum(_VALUES[word.casefold()] for word in match.groupdict().values() if word))


def _value(number: str) -> float:
    """Return the value of digits with separators; of a version such as 3.11.2 what tells it from others."""
    digits = _THOUSANDS.sub("", number).replace(",", ".")
    head, _, tail = digits.partition(".")
    return float(f"{head}.{tail.replace('.', '') or 0}")


def _identifiers(text: str) -> list[tuple[int, str]]:
    quoted = [(match.start(1), match.group(1).strip()) for match in _QUOTED.finditer(text)]
    bare = [(match.start(), match.group().removesuffix("()")) for match in _IDENTIFIER.finditer(text)]
    return [*bare, *((at, name) for at, name in quoted if not any(name == other for _, other in bare))]


def _holds(source: str, name: str) -> bool:
    """Return whether the identifier stands in the source, or each of its dotted parts does: json.dumps from `dumps`."""
    parts = [part for part in re.split(r"[.\s()]+", name) if part]
    return all(re.search(rf"(?<!\w){re.escape(part)}(?!\w)", source, re.IGNORECASE) for part in parts)


def _words(source: str) -> set[str]:
    """Return the words of the source and their parts, without case."""
    words = {word.casefold() for pattern in (_ANY_WORD, _WORD) for word in pattern.findall(source)}
    return words | {part for word in words for part in re.split(r"['\-_.]", word)}


def _names(text: str) -> list[tuple[int, str]]:
    """Return capitalised words that do not merely begin a sentence."""
    return [
        (match.start(), match.group())
        for match in _WORD.finditer(text)
        if match.group()[0].isupper()
        and match.group().casefold() not in NOT_NAMES
        and not _SENTENCE_START.search(text[: match.start()])
    ]


def _known_name(name: str, chunks: Sequence[tuple[str, str]]) -> bool:
    """Return whether the name is a word of the source, given as its chunks between spaces, as they are and folded."""

    def is_known(word: str) -> bool:
        return word in _words(" ".join(chunk for chunk, folded in chunks if word in folded))

    plain = name.casefold().removesuffix("'s")
    return is_known(plain) or is_known(plain.rstrip("s")) or all(map(is_known, re.split(r"['-]", plain)))
