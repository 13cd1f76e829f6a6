"""Facts that a document states for certain, each the seed of one question.

A draft is a question without its wording. Answers are short and verbatim, so that exact match and token F1 decide: a
value for a default, a name for a module or an exception, the documentation's own sentence for a purpose.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tasks.core.questions.corpus import Corpus, Subject
from tasks.core.sources.docstrings import flatten

MIN_PARAMETERS, MAX_PARAMETERS = 2, 6  # longer lists test patience, not understanding
MIN_NAME = 3
MAX_MENTIONS = 3  # a lower-case name that more documents hold is an English word: machine, line


@dataclass(frozen=True, slots=True)
class Draft:
    """A question before it is worded, with what is known about its answer."""

    form: str
    kind: str
    subject: Subject
    name: str
    answer: str
    evidence: str
    document_ids: tuple[str, ...]
    parameter: str = ""
    withhold: bool = False

    @property
    def key(self) -> str:
        return f"{self.name}#{self.kind}.{self.form}" + (f".{self.parameter}" if self.parameter else "")


def rank(*parts: str) -> int:
    """Return a number that orders things in a way nobody chose, the same on every machine."""
    return int.from_bytes(hashlib.sha256("\x1f".join(parts).encode()).digest()[:8], "big")


def facts(corpus: Corpus) -> Iterator[Draft]:
    """Yield every answerable draft, in the order of the subjects."""
    for subject in corpus.subjects:
        yield from _purpose_or_result(subject, corpus)
        yield from _defaults(subject)
        yield from _parameters(subject)
        yield from _exception(subject)
        yield from _module(subject, corpus)


def _purpose_or_result(subject: Subject, corpus: Corpus) -> Iterator[Draft]:
    """One sentence gives one question: "Return the size of a file" tells the purpose or the result, a hash decides."""
    if subject.kind == "module" and corpus.namesakes(subject):  # timeit: the module, or timeit.timeit?
        return
    result, purpose = subject.returned, subject.summary
    overlap = result and purpose and result in purpose
    if result and not (overlap and rank("purpose", subject.name) % 2):
        yield _draft("returns", subject, flatten(result), result)
    if purpose and not (overlap and not rank("purpose", subject.name) % 2):
        yield _draft("purpose", subject, flatten(purpose), purpose)


def _defaults(subject: Subject) -> Iterator[Draft]:
    """The evidence runs to the comma or parenthesis: `n=1` alone would also be found in `n=10`."""
    last = subject.parameters[-1].name if subject.parameters else ""
    for name, default in subject.defaults.items():
        end = ")" if name == last else ","
        yield _draft("default", subject, default, f"{name}={default}{end}", parameter=name)


def _parameters(subject: Subject) -> Iterator[Draft]:
    names = [parameter.name for parameter in subject.parameters if parameter.name not in ("*", "/")]
    is_plain = not any(name.startswith("*") for name in names)
    if subject.signature and is_plain and MIN_PARAMETERS <= len(names) <= MAX_PARAMETERS:
        yield _draft("parameters", subject, ", ".join(names), subject.name.rpartition(".")[2] + subject.signature)


def _exception(subject: Subject) -> Iterator[Draft]:
    if subject.raised:
        yield _draft("raises", subject, subject.raised.exception, subject.raised.evidence)


def _module(subject: Subject, corpus: Corpus) -> Iterator[Draft]:
    """A name that only one object of the whole source has, kept or not."""
    name = subject.simple_name
    if subject.kind not in ("function", "class") or subject.owner == "builtins" or len(name) < MIN_NAME:
        return
    is_plain_word = name.isalpha() and name.islower() and corpus.num_mentions(name) > MAX_MENTIONS
    if corpus.is_one_of_a_kind(name) and not is_plain_word:
        yield replace(_draft("module", subject, subject.owner, subject.name), name=name)


def _draft(form: str, subject: Subject, answer: str, evidence: str, *, parameter: str = "") -> Draft:
    return Draft(form, form, subject, subject.name, answer, evidence, (subject.document_id,), parameter)
