"""Names of people by rule: known given names, titles, and words that introduce a name.

A run of capitalised words is a name where it starts with a known given name and goes on with a plausible surname;
where a title or an introduction ("my name is", "Dear", "signed") stands before it; or as "Surname, Given", "G.
Surname" with both known. Given names that are also words (Mark, Will, May) need a known surname behind them. The
rules see Latin script in mixed case: a lone given name without introduction, and names in capitals, are left to
named-entity recognition.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl

from tasks.core.privacy.name_stopwords import COMMON_WORDS, NO_SURNAMES
from tasks.core.privacy.spans import Detector, Span, marked, stands_alone, starts_word

NAME = "PERSON"

_LATIN = [chr(code) for code in range(0xC0, 0x180) if chr(code).isalpha()]
UPPER = "A-Z" + "".join(letter for letter in _LATIN if letter.isupper())
LOWER = "a-z" + "".join(letter for letter in _LATIN if not letter.isupper())
WORD = (
    rf"[{UPPER}](?:['’][{UPPER}])?[{LOWER}]{{1,24}}(?:[{UPPER}][{LOWER}]{{1,20}})?(?:['’-][{UPPER}]?[{LOWER}]{{1,20}})?"
)
INITIAL = rf"[{UPPER}]\."
PARTICLE = r"(?:van|von|de|der|den|di|da|del|della|dos|du|la|le|bin|ibn|al|el|ter|ten|zu|af|y)"
GAP = r"(?: |\n[ \t]{0,12})"  # a name may be wrapped
REST = rf"(?:{GAP}(?:{INITIAL}(?: ?{INITIAL}){{0,2}}|(?:{PARTICLE} ){{0,2}}{WORD})){{1,3}}"
RUN = re.compile(WORD + REST)
WORD_AND_GAP = re.compile(r"(\S+)(\s*)")
TITLE = (
    r"(?:(?:Mr|Mrs|Ms|Mx|Dr|Prof|Rev|Capt|Sgt|Lt|Hr|Fr|Sr|Sra|Srta|Dott|Sig|Mme|Mlle|M|St)\.|Mr|Mrs|Ms|Mx|Miss|Dr|Prof|Professor|Doctor|Sir|Dame|Herrn?|Frau"
    r"|Monsieur|Madame|Mme|Mlle|Señora?|Señorita|Signora?|Signor)"
)
TITLED = re.compile(rf"{TITLE} (?P<name>(?:{INITIAL} ?){{0,3}}{WORD}(?:{REST})?)")
STRONG_CUES = (
    "my name is", "my name's", "dear", "yours sincerely,", "yours truly,", "yours faithfully,", "sincerely,",
    "regards,", "cheers,", "signed,", "signed by", "signed:", "ich heiße", "mein Name ist", "je m'appelle",
    "me llamo", "mi nombre es", "mi chiamo", "lieber", "liebe", "cher", "chère", "estimado", "estimada",
    "full name:", "customer name:", "user name:", "client name:", "patient name:",
)  # fmt: skip
WEAK_CUES = (
    "named", "contact", "contacted", "call", "ask", "email", "name:", "author:", "authors:", "customer", "client",
    "patient", "employee", "colleague", "manager", "maintainer", "maintainer:", "assigned to", "reported by",
    "opened by", "written by", "created by", "contributed by", "approved by", "reviewed by", "attn:", "attn",
    "from:", "to:", "cc:", "hi", "hello", "hey", "thanks,", "thank you,", "I am", "I'm", "this is", "spoke to",
    "spoke with", "met", "deliver to", "on behalf of",
)  # fmt: skip


def _any_of(cues: tuple[str, ...]) -> str:
    """Return a regular expression for the cues, capitalised or not; literal beginnings keep the search fast."""
    return (
        "(?:" + "|".join(spelling for cue in cues for spelling in dict.fromkeys((cue, cue[0].upper() + cue[1:]))) + ")"
    )


STRONG_CUE, WEAK_CUE, CUE = _any_of(STRONG_CUES), _any_of(WEAK_CUES), _any_of(STRONG_CUES + WEAK_CUES)
INTRODUCED = re.compile(rf"{STRONG_CUE}\s{{1,2}}(?P<name>{WORD}(?:{REST})?)")
MENTIONED = re.compile(rf"{WEAK_CUE}[ \n](?P<name>(?P<initials>(?:{INITIAL} ?){{0,3}}){WORD}(?:{REST})?)")
# Polars compiles what it extracts at every call: without counted repetition that takes a tenth of the time.
LOOSE_WORD = rf"[{UPPER}][{UPPER}{LOWER}'’.-]*"
LOOSE_NEXT = rf"(?: |\n[ \t]*)(?:{PARTICLE} )*{LOOSE_WORD}"
LOOSE_MENTION = rf"{CUE}\s{{1,2}}{LOOSE_WORD}(?:{LOOSE_NEXT})*"
REVERSED = re.compile(
    rf"(?P<before>(?:{WORD}|{INITIAL}) )?(?P<last>{WORD}), (?P<first>{WORD})(?: {INITIAL}|(?P<after> {WORD}))?"
)
INITIALS = re.compile(rf"(?:{INITIAL} ?){{1,3}}(?P<last>(?:{PARTICLE} ){{0,2}}{WORD})")
ADDRESSED = re.compile(rf"(?P<name>{WORD}{REST}) <(?:EMAIL_|[^\s<>]{{1,64}}@)")


Suspicion = Callable[[pl.Series], pl.Series]
Finder = Callable[[str], Iterator[Span]]


class Word(NamedTuple):
    text: str
    start: int
    end: int
    ends_line: bool


@dataclass(frozen=True)
class NameLists:
    """Known given names and surnames, spelled with capitals."""

    given: frozenset[str]
    family: frozenset[str]


@dataclass(frozen=True)
class NameRule:
    """One way to recognise a name; a detector."""

    suspects: Suspicion
    find: Finder


@dataclass(frozen=True)
class PersonNames:
    """The rules that find names, given the known ones."""

    lists: NameLists

    def rules(self) -> list[Detector]:
        """Return one detector a rule."""
        return [
            NameRule(self._holds_known, self._known),
            NameRule(_hint(rf"{TITLE} (?:{INITIAL} ?){{0,3}}[{UPPER}]"), self._titled),
            NameRule(_candidates(rf"{CUE}\s{{1,2}}[{UPPER}]", LOOSE_MENTION, self._cued), self._cued),
            NameRule(
                _candidates(rf"[{LOWER}], [{UPPER}][{LOWER}'’]", rf"{LOOSE_WORD}, {LOOSE_WORD}", self._reversed),
                self._reversed,
            ),
            NameRule(_hint(rf"[{UPPER}]\. ?(?:{PARTICLE} ){{0,2}}[{UPPER}][{LOWER}'’]"), self._behind_initials),
            NameRule(_hint(rf"[{LOWER}] <(?:EMAIL_|[^\s<>]{{1,64}}@)"), self._addressed),
        ]

    def is_name_alone(self, word: str) -> bool:
        """Return whether `word` by itself is a name rather than a word."""
        return self._is_given(word) or self._is_family(word)

    def is_full_name(self, words: list[str]) -> bool:
        """Return whether two or more words may be a name although a word among them is no name in itself."""
        first, last = words[0], words[-1]
        if first in COMMON_WORDS:
            return first in self.lists.given and self._is_family(last)
        return last not in COMMON_WORDS or (first in self.lists.given and last in self.lists.family)

    def parts(self, name: str) -> list[str]:
        """Return the words of a full name that stand for the person alone."""
        words = re.findall(WORD, name)
        return [word for word in words if self.is_name_alone(word)] if len(words) > 1 else []

    def _known(self, text: str) -> Iterator[Span]:
        for match in RUN.finditer(text):
            words = _words(match)
            first = next((i for i in range(len(words) - 1) if self._starts_name(words[i], words[i + 1 :])), None)
            if first is None:
                continue
            whole = RUN.match(text, words[first].start)  # a word before the name may have used up the run's length
            yield from _alone(text, _trimmed(_words(whole) if whole else words[first:]))

    def _titled(self, text: str) -> Iterator[Span]:
        for match in TITLED.finditer(text):
            words = _trimmed(_words(match, "name"))
            if starts_word(text, match.start()) and words[0].text not in NO_SURNAMES:
                yield from _alone(text, words)

    def _cued(self, text: str) -> Iterator[Span]:
        yield from self._introduced(text)
        yield from self._mentioned(text)

    def _introduced(self, text: str) -> Iterator[Span]:
        for match in INTRODUCED.finditer(text):
            words = _trimmed(_words(match, "name"))
            if starts_word(text, match.start()) and not self._is_word(words[0].text):
                yield from _alone(text, words)

    def _mentioned(self, text: str) -> Iterator[Span]:
        for match in MENTIONED.finditer(text):
            words = _trimmed(_words(match, "name"))
            is_full = len(words) > 1 and self._is_family(words[-1].text) and self._is_plausible(words)
            is_known = is_full or bool(match["initials"]) or self._is_given(words[0].text)
            if is_known and starts_word(text, match.start()):
                yield from _alone(text, words)

    def _reversed(self, text: str) -> Iterator[Span]:
        for match in REVERSED.finditer(text):
            is_list = match["before"] or match["after"]  # "Ada Byron, Alan Moore" is two names
            if not is_list and self._is_family(match["last"]) and self._is_given(match["first"]):
                yield from _alone(text, _words(match))

    def _behind_initials(self, text: str) -> Iterator[Span]:
        for match in INITIALS.finditer(text):
            if self._is_family(match["last"].split(" ")[-1]):
                yield from _alone(text, _words(match))

    def _addressed(self, text: str) -> Iterator[Span]:
        for match in ADDRESSED.finditer(text):
            words = _words(match, "name")
            if self._is_plausible(words):
                yield from _alone(text, words)

    def _starts_name(self, first: Word, rest: list[Word]) -> bool:
        """Return whether `first` opens a name."""
        surname = next((word.text for word in rest if len(word.text) > 2 and word.text[0].isupper()), "")
        if not surname or surname in NO_SURNAMES or first.text in NO_SURNAMES:
            return False
        if first.text not in self.lists.given:
            return first.text not in COMMON_WORDS and not first.ends_line and self._is_family(surname)
        if first.text in COMMON_WORDS:
            return self._is_family(surname)
        return surname in self.lists.family or surname not in COMMON_WORDS

    def _is_plausible(self, words: list[Word]) -> bool:
        return not any(self._is_word(word.text) for word in words)

    def _is_word(self, word: str) -> bool:
        return word in NO_SURNAMES or (word in COMMON_WORDS and word not in self.lists.given)

    def _is_given(self, word: str) -> bool:
        return word in self.lists.given and word not in COMMON_WORDS and word not in NO_SURNAMES

    def _is_family(self, word: str) -> bool:
        if word in COMMON_WORDS or word in NO_SURNAMES:
            return False
        return word in self.lists.family or ("-" in word and any(map(self._is_family, word.split("-"))))

    def _holds_known(self, texts: pl.Series) -> pl.Series:
        runs = _extracted(texts, rf"{LOOSE_WORD}(?:{LOOSE_NEXT})+")
        return marked(
            pl.Series([row for row, run in runs if self._is_promising(run) and any(self._known(run))]), len(texts)
        )

    def _is_promising(self, run: str) -> bool:
        given, family = self.lists.given, self.lists.family
        return any(w in given or w in family or "-" in w or w[-2:] in ("'s", "’s") for w in run.split())


def _hint(regex: str) -> Suspicion:
    return lambda texts: texts.str.contains(regex)


def _candidates(hint: str, candidate: str, find: Finder) -> Suspicion:
    """Suspect texts with a candidate in which `find` finds something; it then looks again with what stands around."""

    def suspects(texts: pl.Series) -> pl.Series:
        rows = texts.str.contains(hint).arg_true()
        hits = [index for index, text in _extracted(texts.gather(rows), candidate) if any(find(text))]
        return marked(rows.gather(hits), len(texts))

    return suspects


def _extracted(texts: pl.Series, regex: str) -> Iterator[tuple[int, str]]:
    """Yield the row and the text of each match of `regex`."""
    frame = (
        pl.DataFrame({"match": texts.str.extract_all(regex)}).with_row_index("row").explode("match").drop_nulls("match")
    )
    return zip(frame["row"].to_list(), frame["match"].to_list(), strict=True)


def _words(match: re.Match[str], group: str | int = 0) -> list[Word]:
    start = match.start(group)
    return [
        Word(word[1], start + word.start(1), start + word.end(1), ends_line="\n" in word[2])
        for word in WORD_AND_GAP.finditer(match[group])
    ]


def _trimmed(words: list[Word]) -> list[Word]:
    """Drop from the end what is no part of a name: `Jane Doe Last`, `Jane Doe's Method`, a second line's beginning."""
    for index, word in enumerate(words[:-1]):
        is_end_of_line = index > 0 and word.ends_line
        if word.text.endswith(("'s", "’s")) or is_end_of_line:
            words = words[: index + 1]
            break
    while len(words) > 1 and _cannot_end(words[-1].text, is_third=len(words) > 2):
        words = words[:-1]
    return words


def _cannot_end(word: str, *, is_third: bool) -> bool:
    return word in NO_SURNAMES or word[0].islower() or (word in COMMON_WORDS and is_third)


def _alone(text: str, words: list[Word]) -> Iterator[Span]:
    """Yield the words as a name, from the right without those that are part of something longer: `Julie Stokes PhD`."""
    start = words[0].start
    if not starts_word(text, start) or text[max(start - 1, 0) : start] in (".", "@", "/", "\\", "#"):
        return
    for word in reversed(words):
        end = word.end - (2 if word.text.endswith(("'s", "’s")) else 0)
        if stands_alone(text, start, end):
            yield Span(start, end, NAME)
            return
