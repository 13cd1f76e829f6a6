"""The documentation of Python code as documents."""

import re
import sys
from collections import Counter
from pathlib import Path

import pytest

from tasks.adapters.sources.python_docs.documented_objects import Limits, language_topics, read_reference
from tasks.adapters.sources.python_docs.modules import standard_library
from tasks.core.questions.corpus import Corpus, Subject

EVERYTHING = Limits(max_per_module=10_000, max_document_chars=4000)
SOURCE = "python_reference"


def by_name(corpus: Corpus) -> dict[str, Subject]:
    return {subject.name: subject for subject in corpus.subjects}


@pytest.fixture(scope="module")
def library() -> Corpus:
    return read_reference(SOURCE, standard_library(), lambda name: True, EVERYTHING, language_topics())


@pytest.mark.parametrize(
    ("name", "kind", "start"),
    [
        ("json.dumps", "function", "json.dumps(obj, *, skipkeys=False, ensure_ascii=True,"),
        ("json.JSONDecoder", "class", "class json.JSONDecoder(*, object_hook=None,"),
        ("json", "module", "module json\n\n"),
        ("collections.deque.popleft", "method", "collections.deque.popleft"),
        ("pathlib.PurePath.suffix", "property", "property pathlib.PurePath.suffix\n\n"),
        ("print", "function", "print(*args, sep=' ', end='\\n', file=None, flush=False)"),
        ("os.path.join", "function", "os.path.join(a, *p)"),
        ("datetime.date.fromisoformat", "method", "datetime.date.fromisoformat"),
    ],
)
def test_signature_then_docstring(library: Corpus, name: str, kind: str, start: str) -> None:
    subject = by_name(library)[name]
    assert subject.kind == kind
    assert subject.text.startswith(start)
    assert subject.uri == name


def test_the_library_gives_enough_documents_and_families(library: Corpus) -> None:
    assert len(library.subjects) >= 3500
    assert len(library.by_family) >= 300


def test_an_object_is_one_document_under_its_shortest_name(library: Corpus) -> None:
    names = by_name(library)
    assert "json.JSONEncoder" in names
    assert "json.encoder.JSONEncoder" not in names
    assert "OSError" in names
    assert not {"os.error", "socket.error", "IOError"} & set(names)
    assert max(Counter(subject.text for subject in library.subjects).values()) == 1
    assert max(Counter(subject.document_id for subject in library.subjects).values()) == 1


def test_inherited_docstrings_are_not_taken_for_the_objects_own(library: Corpus) -> None:
    assert "sqlite3.DataError" not in by_name(library)


def test_no_document_holds_an_address_or_a_place_of_this_machine(library: Corpus) -> None:
    for subject in library.subjects:
        assert not re.search(r"\bat 0x[0-9a-f]{6,}", subject.signature or ""), subject.name
        assert str(Path.home()) not in subject.text, subject.name
        assert sys.prefix not in subject.text, subject.name


def test_defaults_that_are_no_values_are_not_asked_for(library: Corpus) -> None:
    parse = by_name(library)["cgi.parse"] if "cgi" in sys.stdlib_module_names else None
    if parse is not None:
        assert "environ=..." in parse.text
        assert "environ" not in parse.defaults


def test_topics_are_read_by_section_and_each_section_once(library: Corpus) -> None:
    topics = [subject for subject in library.subjects if subject.kind == "topic"]
    assert len(topics) >= 100
    assert 'The "assert" statement' in {subject.name for subject in topics}
    bodies = [subject.text.partition("\n\n")[2] for subject in topics]
    assert max(Counter(bodies).values()) == 1


def test_each_module_gives_at_most_its_share_and_itself_first() -> None:
    limits = Limits(max_per_module=5, max_document_chars=300)
    corpus = read_reference(SOURCE, ["json", "random", "csv"], lambda name: True, limits, {})
    assert max(len(subjects) for subjects in corpus.by_family.values()) == 5
    assert {"json", "random", "csv"} <= set(by_name(corpus))
    assert max(len(subject.text) for subject in corpus.subjects) <= 300


def test_methods_that_only_repeat_are_left_out(library: Corpus) -> None:
    assert "random.randint" in by_name(library)
    assert "random.Random.randint" not in by_name(library)


def test_a_package_is_read_by_the_same_code() -> None:
    corpus = read_reference("package_reference", ["yaml"], lambda name: True, EVERYTHING, {})
    subject = by_name(corpus)["yaml.safe_load"]
    assert subject.text.startswith("yaml.safe_load(stream)")
    assert subject.family == "yaml"
    assert {s.family.partition(".")[0] for s in corpus.subjects} == {"yaml"}
