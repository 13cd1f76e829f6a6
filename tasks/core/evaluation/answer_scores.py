"""Score an answer against its reference: exact match, token F1, abstention, hallucination. Pure.

Method: SQuAD's measures (Rajpurkar et al. 2016, section 6.1) with a tokeniser that keeps what matters in technical
text: `os.path`, `utf-8`, `0.8` and `-1` are one token each. The right answer to a question that its context cannot
answer is to abstain (SQuAD 2.0, Rajpurkar et al. 2018). Caveat: token F1 knows no synonyms, so a right answer in other
words scores low.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from tasks.core.chat.abstention import abstains

MIN_RIGHT_F1 = 0.5
"""Token F1 below which an answer that does not spell out the reference counts as wrong."""

ARTICLES = frozenset(("a", "an", "the"))
_TOKEN = re.compile(
    r"(?:(?<![\w.\-+)\]])[-+])?\d+(?:[.,]\d+)*%?(?![\w])"  # a number with its sign: -1, 0.8, 1,000
    r"|\w+(?:[.\-'+@/]\w+)*"  # a word or a dotted name: os.path, utf-8, don't
)
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")


@dataclass(frozen=True)
class Scores:
    """The scores of one answer, each number in [0, 1]; None where one does not apply."""

    abstained: bool
    exact_match: float | None
    token_f1: float | None
    score: float
    hallucinated: bool


def score_answer(answer: str, reference: str, *, answerable: bool) -> Scores:
    """Measure `answer`. `answerable`: the documents that are searched say it, in the words of `reference`.

    An unanswerable question scores 1 for abstaining; match and F1 have no meaning there.
    """
    abstained = abstains(answer)
    if not answerable:
        return Scores(abstained, None, None, float(abstained), hallucinated=not abstained)
    f1 = token_f1(answer, reference)
    is_wrong = f1 < MIN_RIGHT_F1 and not spells_out(answer, reference)
    return Scores(abstained, exact_match(answer, reference), f1, f1, hallucinated=is_wrong and not abstained)


def tokens(text: str) -> list[str]:
    """Return the tokens that are compared: no case, no articles, no punctuation around words."""
    plain = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    found = _TOKEN.findall(_THOUSANDS.sub("", plain))
    return [token.removeprefix("+") for token in found if token not in ARTICLES]


def exact_match(answer: str, reference: str) -> float:
    """Return 1 where both have the same tokens in the same order, else 0."""
    ours, theirs = tokens(answer), tokens(reference)
    if not ours and not theirs:  # nothing but punctuation: then that is what counts
        return float(answer.split() == reference.split())
    return float(ours == theirs)


def token_f1(answer: str, reference: str) -> float:
    """Return the harmonic mean of the precision and recall of the answer's tokens."""
    ours, theirs = Counter(tokens(answer)), Counter(tokens(reference))
    if not ours or not theirs:
        return exact_match(answer, reference)
    shared = (ours & theirs).total()
    return 2 * shared / (ours.total() + theirs.total())


def spells_out(answer: str, reference: str) -> bool:
    """Return whether the tokens of `reference` stand in the answer one after the other: "it is None by default"."""
    ours, theirs = tokens(answer), tokens(reference)
    if not theirs:
        return False
    return any(ours[at : at + len(theirs)] == theirs for at in range(len(ours) - len(theirs) + 1))


def accepts(answer: str, accepted: Iterable[str]) -> bool:
    """Return whether one of the accepted answers stands in `answer` as whole words, whatever the case and accents."""
    text = _bare(answer)
    return any(re.search(rf"(?<!\w){re.escape(_bare(one))}(?!\w)", text) for one in accepted)


def _bare(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))
