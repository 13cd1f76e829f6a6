"""Questions that the context cannot answer, though they look as if it could.

Five kinds: the right question with its documents left out of the context (`withheld`), the same where a namesake stays
in (`wrong_object`), a parameter that only a sibling has (`missing_parameter`), an object that does not exist
(`missing_name`), and an exception asked of documentation that names none (`missing_exception`). After SQuAD 2.0
(Rajpurkar et al. 2018: an unanswerable question is worth asking where a plausible wrong answer stands near by).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain

from tasks.core.chat.prompt import ABSTENTION
from tasks.core.questions.corpus import Corpus, Subject
from tasks.core.questions.facts import MIN_NAME, Draft, rank
from tasks.core.sources.docstrings import is_silent_about_errors

MAX_WITHHELD = 5  # more documents speak of it: leaving all of them out would leave little
MAX_TRIES = 40
MIN_SILENT_TEXT = 60

_SNAKE_STYLE = re.compile(r"[a-z][a-z0-9_]*")
_CAMEL_PARTS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z]+")


def near_misses(corpus: Corpus, answerable: Iterable[Draft]) -> Iterator[Draft]:
    """Yield every unanswerable draft that follows from the answerable ones and from the corpus."""
    for fact in answerable:
        yield from _withheld(fact, corpus)
        yield from _missing_name(fact, corpus)
    for subject in corpus.subjects:
        yield from _missing_parameter(subject, corpus)
        yield from _missing_exception(subject, corpus)


def _unanswerable(fact: Draft, kind: str, document_ids: Iterable[str]) -> Draft:
    ids = tuple(dict.fromkeys(document_ids))
    return replace(fact, kind=kind, answer=ABSTENTION, evidence="", document_ids=ids)


def _withheld(fact: Draft, corpus: Corpus) -> Iterator[Draft]:
    """The right question, with every document left out that could answer it; all of one family, to stay on one side."""
    tellers = corpus.mentions(fact.subject)
    if any(teller.family != fact.subject.family for teller in tellers):
        return
    is_sentence = fact.form in ("purpose", "returns")
    if len(tellers) > MAX_WITHHELD or (is_sentence and corpus.also_says(fact.subject, fact.answer)):
        return
    kind = "wrong_object" if _has_tempting_namesake(fact, corpus) else "withheld"
    draft = _unanswerable(fact, kind, [fact.subject.document_id, *(teller.document_id for teller in tellers)])
    yield replace(draft, withhold=True)


def _has_tempting_namesake(fact: Draft, corpus: Corpus) -> bool:
    """Return whether a namesake could answer the same question wrongly: pickle.dumps for json.dumps."""
    if fact.form == "module":
        return False
    return any(_could_answer(twin, fact) for twin in corpus.namesakes(fact.subject))


def _could_answer(twin: Subject, fact: Draft) -> bool:
    if fact.form == "default":
        return fact.parameter in twin.defaults
    if fact.form == "parameters":
        return bool(twin.signature) and twin.signature != fact.subject.signature
    telling = {"purpose": twin.summary, "returns": twin.returned, "raises": twin.raised}
    return telling[fact.form] is not None


def _missing_parameter(subject: Subject, corpus: Corpus) -> Iterator[Draft]:
    """The default of a parameter that a sibling or namesake has, and this object neither takes nor mentions.

    The object has other defaults: one without any would be no temptation.
    """
    if not subject.defaults or subject.takes_any_keyword:
        return
    own = {parameter.name for parameter in subject.parameters}
    near = chain(corpus.by_owner[subject.owner], corpus.by_family[subject.family], corpus.namesakes(subject))
    names = {name for sibling in near if sibling.owner != subject.name for name in sibling.defaults}
    candidates = [n for n in names - own if len(n) >= MIN_NAME and not re.search(rf"\b{n}\b", subject.docstring)]
    for name in sorted(candidates, key=lambda name: rank("missing", subject.name, name))[:2]:
        yield Draft(
            "default",
            "missing_parameter",
            subject,
            subject.name,
            ABSTENTION,
            "",
            (subject.document_id,),
            parameter=name,
        )


def _missing_exception(subject: Subject, corpus: Corpus) -> Iterator[Draft]:
    is_silent = len(subject.docstring) >= MIN_SILENT_TEXT and is_silent_about_errors(subject.docstring)
    if subject.is_callable and is_silent and not corpus.mentions(subject):
        yield Draft("raises", "missing_exception", subject, subject.name, ABSTENTION, "", (subject.document_id,))


def _missing_name(fact: Draft, corpus: Corpus) -> Iterator[Draft]:
    """The same question about an object that does not exist: parts of real names put together, or a stranger's name."""
    subject = fact.subject
    if subject.owner in ("", "builtins"):
        return
    is_graft = fact.form != "module" and rank("graft", fact.key) % 2 == 0
    name = _graft(subject, corpus) if is_graft else _recombine(subject, corpus)
    if name is not None:
        shown = name if fact.form == "module" else f"{subject.owner}.{name}"
        yield replace(_unanswerable(fact, "missing_name", fact.document_ids), name=shown)


def _graft(subject: Subject, corpus: Corpus) -> str | None:
    """Return the name of an object of the same kind from elsewhere that the owner of `subject` does not have."""
    strangers = corpus.by_kind[subject.kind]
    for attempt in range(MAX_TRIES):
        name = strangers[rank("graft", subject.name, str(attempt)) % len(strangers)].simple_name
        if len(name) >= MIN_NAME and not corpus.has_attribute(subject.owner, name):
            return name
    return None


def _recombine(subject: Subject, corpus: Corpus) -> str | None:
    """Return a name that nothing has: the beginning of this name and the end of another of the same kind and style."""
    if "_" in subject.simple_name and not _is_snake(subject.simple_name):  # S_ISDIR has no parts to put together
        return None
    head = _parts(subject.simple_name)
    others = corpus.by_kind[subject.kind]
    for attempt in range(MAX_TRIES):
        tail = _parts(others[rank("recombine", subject.name, str(attempt)) % len(others)].simple_name)
        if len(tail) < 2 or _is_snake(subject.simple_name) is not _is_snake(tail[-1]):
            continue
        name = _join([*(head[:-1] or head), tail[-1]], snake=_is_snake(subject.simple_name))
        if corpus.is_invented(name):
            return name
    return None


def _is_snake(name: str) -> bool:
    return _SNAKE_STYLE.fullmatch(name) is not None


def _parts(name: str) -> list[str]:
    return name.split("_") if "_" in name else _CAMEL_PARTS.findall(name)


def _join(parts: list[str], *, snake: bool) -> str:
    return "_".join(parts) if snake else "".join(parts)
