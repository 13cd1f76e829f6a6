"""What the question generator knows: documented objects, and where else their names occur."""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from tasks.core.sources.docstrings import Raised, flatten, raised, returned, summary

UNSHOWN = "..."  # a default that is no plain value, such as an open file: shown so, never asked for

_WORD = re.compile(r"[A-Za-z_]\w{2,}")
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter as the signature shows it: `name` with its stars, `default` as text or None where there is none."""

    name: str
    default: str | None = None

    def __str__(self) -> str:
        return self.name if self.default is None else f"{self.name}={self.default}"


@dataclass(frozen=True)
class Subject:
    """A documented object: a module, class, function, method or property."""

    document_id: str
    family: str
    name: str
    owner: str
    """The module or class that holds it; empty for a module."""
    kind: str
    text: str
    """The document's text; everything asked about the object is answered by it."""
    docstring: str
    signature: str | None = None
    """Text between and with the parentheses, as it stands in `text`; None where it is not known."""
    parameters: tuple[Parameter, ...] = ()

    uri: str = ""

    @property
    def simple_name(self) -> str:
        return self.name.rpartition(".")[2]

    @property
    def is_callable(self) -> bool:
        return self.kind in ("function", "method")

    @property
    def takes_any_keyword(self) -> bool:
        return any(parameter.name.startswith("**") for parameter in self.parameters)

    @cached_property
    def summary(self) -> str | None:
        return self._in_text(summary(self.docstring))

    @cached_property
    def returned(self) -> str | None:
        return self._in_text(returned(self.docstring)) if self.is_callable else None

    @cached_property
    def raised(self) -> Raised | None:
        found = raised(self.docstring) if self.is_callable else None
        return found if found and found.evidence in self.text else None

    @cached_property
    def defaults(self) -> dict[str, str]:
        """Parameters whose default is a plain value that survives the loss of punctuation (not '' nor ())."""
        shown = {p.name: p.default for p in self.parameters if p.default is not None and p.default != UNSHOWN}
        return {name: default for name, default in shown.items() if any(c.isalnum() for c in default.removeprefix("b"))}

    def _in_text(self, fact: str | None) -> str | None:
        return fact if fact is not None and fact in self.text else None


class Corpus:
    """The subjects of one source with the indexes that tell which other documents could answer a question.

    `names` maps each module and class to every attribute it has, documented or not; `shared_names` are the simple names
    that more than one public function or class has, whether or not it is among the subjects.
    """

    def __init__(
        self, subjects: Iterable[Subject], names: Mapping[str, Collection[str]], shared_names: Collection[str] = ()
    ) -> None:
        self.subjects = tuple(subjects)
        self._shared_names = frozenset(shared_names)
        self.names = {owner: frozenset(attributes) for owner, attributes in names.items()}
        self.known = frozenset(_plain(name) for attributes in self.names.values() for name in attributes)
        self.by_simple_name = _group(self.subjects, lambda s: s.simple_name)
        self.by_owner = _group(self.subjects, lambda s: s.owner)
        self.by_family = _group(self.subjects, lambda s: s.family)
        self.by_kind = _group(self.subjects, lambda s: s.kind)
        self._flat = [flatten(subject.text) for subject in self.subjects]
        self._words: dict[str, set[int]] = defaultdict(set)
        self._dotted: dict[str, set[int]] = defaultdict(set)
        for index, subject in enumerate(self.subjects):
            for word in set(_WORD.findall(subject.text)):
                self._words[word].add(index)
            for dotted in set(_DOTTED.findall(subject.text)):
                self._dotted[dotted].add(index)

    def is_one_of_a_kind(self, simple_name: str) -> bool:
        """Return whether a single public object has this name, so that asking for its module has one answer."""
        return simple_name not in self._shared_names and len(self.by_simple_name[simple_name]) == 1

    def is_invented(self, simple_name: str) -> bool:
        """Return whether nothing anywhere has this name, not even written in another style."""
        return _plain(simple_name) not in self.known and simple_name not in self._words

    def has_attribute(self, owner: str, simple_name: str) -> bool:
        """Return whether `owner` has an attribute of this name, not even written in another style."""
        plain = _plain(simple_name)
        return any(_plain(name) == plain for name in self.names.get(owner, ()))

    def mentions(self, subject: Subject) -> list[Subject]:
        """Return the other subjects whose text speaks of `subject`: by dotted name, or by simple name in its module.

        One that merely has the same simple name is not among them.
        """
        hits = set(self._dotted.get(subject.name, ()))
        holder = subject.owner.rpartition(".")[2]
        if subject.kind in ("method", "property"):
            hits |= self._dotted.get(f"{holder}.{subject.simple_name}", set())
        same_word = self._words.get(subject.simple_name, set())
        hits |= {i for i in same_word if self.subjects[i].family == subject.family and not self._is_twin(i, subject)}
        return [self.subjects[i] for i in sorted(hits) if self.subjects[i] is not subject]

    def namesakes(self, subject: Subject) -> list[Subject]:
        """Return the other subjects with the same simple name: pickle.dumps for json.dumps."""
        return [s for s in self.by_simple_name[subject.simple_name] if s.name != subject.name]

    def also_says(self, subject: Subject, sentence: str) -> bool:
        """Return whether another document holds `sentence` too, line breaks aside."""
        words = [self._words[word] for word in set(_WORD.findall(sentence))]
        if not words:
            return True
        holders = set.intersection(*words)
        return any(self._flat[i].find(sentence) >= 0 for i in holders if self.subjects[i] is not subject)

    def num_mentions(self, word: str) -> int:
        """Return how many documents hold `word`."""
        return len(self._words.get(word, ()))

    def _is_twin(self, index: int, subject: Subject) -> bool:
        other = self.subjects[index]
        return other.simple_name == subject.simple_name and other.kind != "module"


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _group(subjects: Iterable[Subject], key: Callable[[Subject], str]) -> Mapping[str, Sequence[Subject]]:
    groups: dict[str, list[Subject]] = defaultdict(list)
    for subject in subjects:
        groups[key(subject)].append(subject)
    return groups
