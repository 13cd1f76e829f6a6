"""The kinds of sources."""

import pytest
from pydantic import TypeAdapter, ValidationError

from tasks.core.sources.kinds import Files, PythonReference, Source, describe

ADAPTER: TypeAdapter[Source] = TypeAdapter(Source)


def test_the_kind_decides_which_fields_there_are() -> None:
    assert isinstance(ADAPTER.validate_python({"kind": "files", "documents": ["docs"]}), Files)
    with pytest.raises(ValidationError, match="extra_forbidden"):
        ADAPTER.validate_python({"kind": "files", "packages": ["numpy"]})
    with pytest.raises(ValidationError, match="union_tag_invalid"):
        ADAPTER.validate_python({"kind": "fils"})


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"kind": "python_reference"}, "python_reference (standard library)"),
        ({"kind": "python_reference", "include": ["json", "csv"]}, "python_reference (json, csv)"),
        ({"kind": "package_reference", "packages": ["numpy"]}, "package_reference (numpy)"),
        ({"kind": "files", "documents": ["a/"], "conversations": ["b.jsonl"]}, "files (a/, b.jsonl)"),
        ({"kind": "feedback", "path": "f/"}, "feedback (f/)"),
    ],
)
def test_a_source_is_named_as_a_person_would(values: dict[str, object], name: str) -> None:
    assert describe(ADAPTER.validate_python(values)) == name


def test_included_modules_are_reached_through_their_packages() -> None:
    source = PythonReference(include=["xml.dom", "json"], exclude=["xml.dom.minidom", "json.tool"])
    wanted = ["xml", "xml.dom", "xml.dom.pulldom", "json", "json.decoder"]
    assert [
        name for name in [*wanted, "xml.dom.minidom", "json.tool", "jsonx", "csv"] if source.is_wanted(name)
    ] == wanted


def test_without_include_all_is_wanted_but_the_excluded() -> None:
    source = PythonReference(exclude=["os"])
    assert source.is_wanted("json")
    assert source.is_wanted("osx")
    assert not source.is_wanted("os.path")
