"""What a docstring says for certain: its summary, what is returned, which exception is raised.

Each function returns a verbatim slice of the docstring, or None where the text does not say it plainly. Rules follow
PEP 257 (a summary line, then prose). Caveat: prose that states a fact in other words is passed over, never guessed.
"""

import re
from dataclasses import dataclass

MIN_WORDS, MAX_WORDS = 3, 25

_SIGNATURE_START = re.compile(r"^\s*(?:[\w.]+\s*=\s*)?[A-Za-z_][\w.]*\s?\([^)]*")
_STOP_LINE = re.compile(r"\s*(?:>>>|\.\. |:\w+|[-*+] |\d+[.)] |[A-Z]\w+:\s*$|[-=~^]{3,}\s*$|@\w+)")
_SENTENCE_END = re.compile(r"""[.!?]["')\]`]*(?=\s|$)""")
_PUNCTUATION = ".,;:!?'\"`()*"
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|Cf|resp|approx|incl|Inc|St)|\.\.)\.$")
_RETURN = re.compile(
    r"(?:^|(?<=[.!?])\s+|\n)(Returns?)\s+"
    r"(?!to\b|from\b|here\b|value|code\b|immediately|None\b|as\b|b?['\"]|(?:an? )?(?:empty|null)\b)"
)
_EXCEPTION = re.compile(r"\b[A-Z]\w*(?:Error|Exception|Warning|Interrupt|Exit|Iteration)\b")
_RAISE = re.compile(r"\b[Rr]ais(?:es?|ing)\s+(?:an?\s+|the\s+)?(?::\w+:)?[`'\"]*(?:\w+\.)*")
_NOT_RAISED = re.compile(
    r"(?:\bnot|n't|never|without|instead of|rather than|no longer|avoid|\bthat)\s+(?:\w+\s+)?rais", re.I
)
_THROWN_IN = {
    "GeneratorExit",
    "StopIteration",
    "StopAsyncIteration",
    "CancelledError",
    "KeyboardInterrupt",
    "SystemExit",
}
_ERROR_TALK = re.compile(r"exception|error|rais(?:e|ing)|fail|invalid|warn|illegal|must|abort", re.I)
_POOR_START = re.compile(
    r"(?:see|same|like|alias|deprecated|xxx|todo|note|warning|internal|this|these|those|if|when|for|but|and|or|it|in|by|"
    r"override|overridden|overrides|implement|implements|inherit|helper|private|do not|undocumented|hook|given|called|"
    r"equivalent|similar|better|hack|fixme|temporary|synonym|dummy|abstract|default|arguments?|parameters?|usage|example)\b",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Raised:
    """An exception and the words that say it is raised."""

    exception: str
    evidence: str


def flatten(text: str) -> str:
    """Return `text` on one line."""
    return " ".join(text.split())


def summary(docstring: str) -> str | None:
    """Return the first sentence as it stands in `docstring`, where it is one that tells what the object does."""
    sentence = _first_sentence(_first_paragraph(docstring))
    if sentence is None or not _is_telling(flatten(sentence)):
        return None
    return sentence


def returned(docstring: str) -> str | None:
    """Return what the docstring says is returned ("the size of a file"), where exactly one sentence says so."""
    starts = list(_RETURN.finditer(docstring))
    if len(starts) != 1 or len(re.findall(r"\breturns?\b", docstring, re.I)) != 1:
        return None
    paragraph = _cut_at_stop_line(docstring[starts[0].end() :].split("\n\n", 1)[0])
    sentence = _first_sentence(paragraph)
    if sentence is None or not _is_balanced(sentence) or not 3 <= len(sentence.split()) <= MAX_WORDS:
        return None
    return sentence.rstrip(".") or None


def raised(docstring: str) -> Raised | None:
    """Return the one exception that the docstring names, where it says that it is raised."""
    names = set(_EXCEPTION.findall(docstring))
    if len(names) != 1 or names & _THROWN_IN or _NOT_RAISED.search(docstring):
        return None
    name = names.pop()
    start = re.search(_RAISE.pattern + re.escape(name) + r"\b", docstring)
    return None if start is None else Raised(name, start.group())


def is_silent_about_errors(docstring: str) -> bool:
    """Return whether nothing in `docstring` hints at an exception, so that "which one?" has no answer in it."""
    return not _ERROR_TALK.search(docstring)


def _first_paragraph(docstring: str) -> str:
    lines = docstring.split("\n")
    start = _skip_signatures(lines)
    rest = "\n".join(lines[start:]).lstrip("\n")
    return _cut_at_stop_line(rest.split("\n\n", 1)[0])


def _skip_signatures(lines: list[str]) -> int:
    """Return the index of the first line that is not a call signature such as `max(iterable, *[, key]) -> value`."""
    index = 0
    while index < len(lines) and (not lines[index].strip() or _is_signature(lines[index])):
        depth = lines[index].count("(") - lines[index].count(")")
        index += 1
        while depth > 0 and index < len(lines) and lines[index].strip():
            depth += lines[index].count("(") - lines[index].count(")")
            index += 1
    return index


def _is_signature(line: str) -> bool:
    if not _SIGNATURE_START.match(line):
        return False
    stripped = line.strip()
    return "->" in stripped or stripped.endswith((")", "]", ",", "):")) or stripped.count("(") > stripped.count(")")


def _cut_at_stop_line(paragraph: str) -> str:
    lines = paragraph.split("\n")
    for index, line in enumerate(lines):
        if _STOP_LINE.match(line):
            return "\n".join(lines[:index])
    return paragraph


def _first_sentence(paragraph: str) -> str | None:
    text = paragraph.strip()
    for match in _SENTENCE_END.finditer(text):
        head, tail = text[: match.end()], text[match.end() :].lstrip()
        if _ABBREVIATION.search(head) or (tail and not (tail[0].isupper() or tail[0] in "\"'`([{<*-0123456789")):
            continue
        return head
    return text or None


def _is_telling(sentence: str) -> bool:
    words = sentence.split()
    return (
        MIN_WORDS <= len(words) <= MAX_WORDS
        and sentence[0].isupper()
        and not sentence.endswith((":", ",", ";"))
        and not _POOR_START.match(sentence)
        and not re.search(r"->|>>>|\bXXX\b|https?://", sentence)
        and sum(word.strip(_PUNCTUATION).isalpha() for word in words) >= len(words) / 2
        and _is_balanced(sentence)
    )


def _is_balanced(sentence: str) -> bool:
    pairs = all(sentence.count(a) == sentence.count(b) for a, b in ("()", "[]", "{}"))
    return pairs and sentence.count("`") % 2 == 0 and sentence.count('"') % 2 == 0
