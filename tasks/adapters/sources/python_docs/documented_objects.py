"""The documentation of installed Python code as documents: signatures, docstrings, and the language's topics.

Reads live modules (inspect, pydoc_data); the same interpreter and packages give the same bytes in every process. An
object that several modules offer is one document, under its shortest name; what repeats another's text is left out.
Caveat: what is documented only on the web is not here.
"""

import enum
import inspect
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType

from tasks.adapters.sources.python_docs.modules import HOOKS, quiet, walk
from tasks.adapters.sources.python_docs.signatures import parameters_of, show
from tasks.core.questions.corpus import Corpus, Parameter, Subject
from tasks.core.questions.facts import rank
from tasks.core.records.schema import record_id

MIN_DOCSTRING = 20
BUILTINS = "builtins"
PREFIXES = {"module": "module ", "class": "class ", "property": "property "}

_HEADING = re.compile(r"^(\S[^\n]*)\n([*=\-~^\"])\2{2,}$", re.MULTILINE)
_ALIAS_DOC = re.compile(r"Alias for field number \d+")


@dataclass(frozen=True)
class Limits:
    """How much of a library becomes documents."""

    max_per_module: int
    max_document_chars: int


@dataclass(frozen=True)
class _Found:
    """A documented object under one of its names."""

    owner: str
    name: str
    kind: str
    obj: object
    module: str
    drop_first: bool = False

    @property
    def qualified(self) -> str:
        return self.name if self.owner in ("", BUILTINS) else f"{self.owner}.{self.name}"


@dataclass
class _Catalogue:
    """Every public object once, and every name that exists."""

    objects: dict[int, _Found] = field(default_factory=dict)
    names: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, found: _Found) -> None:
        key = id(getattr(found.obj, "__func__", found.obj))
        known = self.objects.get(key)
        if known is None or _preference(found) < _preference(known):
            self.objects[key] = found


def read_reference(
    source: str, roots: Sequence[str], is_wanted: Callable[[str], bool], limits: Limits, topics: Mapping[str, str]
) -> Corpus:
    """Return the documented objects of the modules below `roots`, and the `topics`, sorted by name."""
    catalogue = _Catalogue()
    with quiet():
        for name, module in list(walk(roots, is_wanted)):  # all loaded before any is read: a package lists its children
            _catalogue_module(catalogue, name, module)
        for found in sorted(catalogue.objects.values(), key=_preference):
            if found.kind == "class":
                _catalogue_class(catalogue, found)
        subjects = list(_distinct(_subjects(source, catalogue.objects.values(), limits)))
    shared = Counter(f.name for f in catalogue.objects.values() if f.kind in ("function", "class"))
    kept = [*_thin(subjects, limits.max_per_module), *_topic_subjects(source, topics, limits)]
    names = {owner: [n for n in names if not n.startswith("__")] for owner, names in catalogue.names.items()}
    return Corpus(sorted(kept, key=lambda s: (s.name, s.document_id)), names, [n for n, c in shared.items() if c > 1])


def language_topics() -> Mapping[str, str]:
    """Return the language reference that ships with the interpreter, by topic."""
    from pydoc_data.topics import topics

    return topics


def _catalogue_module(catalogue: _Catalogue, name: str, module: ModuleType) -> None:
    catalogue.names[name].update(dir(module))
    catalogue.add(_Found("", name, "module", module, name))
    exported = getattr(module, "__all__", None)
    for attribute in sorted(set(exported if exported is not None else vars(module))):
        obj = getattr(module, attribute, None) if isinstance(attribute, str) else None
        if obj is None or attribute.startswith("_") or attribute in HOOKS:
            continue
        if exported is None and not _lives_in(obj, name):
            continue
        kind = _kind(obj)
        if kind:
            catalogue.add(_Found(name, attribute, kind, obj, name))


def _lives_in(obj: object, module: str) -> bool:
    """Return whether the object is the module's own: defined there, or in its private part (_io for io)."""
    home = getattr(obj, "__module__", None)
    if module == BUILTINS or not isinstance(home, str):
        return True
    public = ".".join(part.lstrip("_") for part in home.split("."))
    return public == module or public.startswith(f"{module}.")


def _kind(obj: object) -> str | None:
    if inspect.ismodule(obj) or hasattr(obj, "__origin__"):
        return None
    if inspect.isclass(obj):
        return "class"
    has_own_text = getattr(obj, "__doc__", None) is not type(obj).__doc__
    return "function" if callable(obj) and has_own_text and isinstance(getattr(obj, "__name__", None), str) else None


def _catalogue_class(catalogue: _Catalogue, holder: _Found) -> None:
    """Add the public methods and properties that the class itself defines."""
    owner = holder.qualified
    catalogue.names[owner].update(dir(holder.obj))
    for name, raw in sorted(vars(holder.obj).items()):
        if name.startswith("_") or inspect.isclass(raw):
            continue
        if isinstance(raw, property) or inspect.isdatadescriptor(raw):
            catalogue.add(_Found(owner, name, "property", raw, holder.module))
        elif callable(raw) or isinstance(raw, (staticmethod, classmethod)):
            is_bound = isinstance(raw, (staticmethod, classmethod)) or type(raw).__name__ == "classmethod_descriptor"
            drop_first = not is_bound
            catalogue.add(_Found(owner, name, "method", raw, holder.module, drop_first))


def _preference(found: _Found) -> tuple[int, bool, bool, str, str]:
    """Return a key whose least is the name people use: short path, then where it was defined, then alphabetical."""
    depth = 0 if found.owner == BUILTINS else found.qualified.count(".")
    is_elsewhere = getattr(found.obj, "__module__", None) != found.module
    is_alias = getattr(found.obj, "__name__", None) != found.name
    return depth, is_alias, is_elsewhere, found.owner, found.name


def _subjects(source: str, objects: Iterable[_Found], limits: Limits) -> Iterator[Subject]:
    for found in sorted(objects, key=_preference):
        docstring = _own_docstring(found.obj)
        if len(docstring) < MIN_DOCSTRING or _ALIAS_DOC.match(docstring):
            continue
        parameters = _parameters(found)
        signature = None if parameters is None else show(parameters)
        heading = PREFIXES.get(found.kind, "") + found.qualified + (signature or "")
        text = _shorten(f"{heading}\n\n{docstring}", limits.max_document_chars)
        yield Subject(
            document_id=record_id(source, found.qualified, text),
            family=found.module,
            name=found.qualified,
            owner=found.owner,
            kind=found.kind,
            text=text,
            docstring=docstring,
            signature=signature,
            parameters=parameters or (),
            uri=found.qualified,
        )


def _own_docstring(obj: object) -> str:
    """Return the object's own docstring: one that is inherited describes something else."""
    raw = vars(obj).get("__doc__") if inspect.isclass(obj) else getattr(obj, "__doc__", None)
    raw = getattr(raw, "__doc__", None) if raw is not None and not isinstance(raw, str) else raw
    text = inspect.cleandoc(raw).strip() if isinstance(raw, str) else ""
    return "" if text == "An enumeration." else text


def _parameters(found: _Found) -> tuple[Parameter, ...] | None:
    if found.kind in ("module", "property"):
        return None
    if inspect.isclass(found.obj):
        is_factory = issubclass(found.obj, (enum.Enum, BaseException))
        return None if is_factory else parameters_of(found.obj, drop_first=False)
    if isinstance(found.obj, (staticmethod, classmethod)):
        return parameters_of(found.obj.__func__, drop_first=isinstance(found.obj, classmethod))
    return parameters_of(found.obj, drop_first=found.drop_first)


def _shorten(text: str, max_chars: int) -> str:
    """Return whole paragraphs of `text`, up to `max_chars`."""
    if len(text) <= max_chars:
        return text
    cut = text.rfind("\n\n", 0, max_chars)
    return text[: cut if cut > 0 else max_chars].rstrip()


def _distinct(subjects: Iterable[Subject]) -> Iterator[Subject]:
    """Yield the subjects whose docstring and signature are not those of an earlier one."""
    seen: set[tuple[str | None, str]] = set()
    for subject in subjects:
        if (subject.signature, subject.docstring) not in seen:
            seen.add((subject.signature, subject.docstring))
            yield subject


def _thin(subjects: Sequence[Subject], max_per_module: int) -> Iterator[Subject]:
    """Yield at most `max_per_module` of each module, those first that say most."""
    families: dict[str, list[Subject]] = defaultdict(list)
    for subject in subjects:
        families[subject.family].append(subject)
    for family in families.values():
        family.sort(key=lambda s: (s.kind != "module", s.summary is None, s.signature is None, rank("keep", s.name)))
        yield from family[:max_per_module]


def _topic_subjects(source: str, topics: Mapping[str, str], limits: Limits) -> Iterator[Subject]:
    """Yield each section of each topic once; topics that quote others' sections add nothing."""
    seen: set[str] = set()
    for topic in sorted(topics, key=lambda name: (len(topics[name]), name)):
        for number, (title, body) in enumerate(_sections(topics[topic])):
            text = _shorten(f"{title}\n\n{body}", limits.max_document_chars)
            if len(body) >= MIN_DOCSTRING and body not in seen:
                seen.add(body)
                uri = f"topic:{topic}#{number}"
                yield Subject(record_id(source, uri, text), f"topic:{topic}", title, "", "topic", text, "", uri=uri)


def _sections(text: str) -> Iterator[tuple[str, str]]:
    headings = list(_HEADING.finditer(text))
    for heading, following in zip(headings, [*headings[1:], None], strict=True):
        end = following.start() if following else len(text)
        yield heading.group(1), text[heading.end() : end].strip()
