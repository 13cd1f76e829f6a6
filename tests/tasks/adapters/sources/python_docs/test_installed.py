"""Editions of Python and of packages."""

from email.message import Message

import pytest

from tasks.adapters.sources.python_docs import installed
from tasks.adapters.sources.python_docs.installed import package_edition, python_edition
from tasks.core.errors import ConfigError


def test_pythons_edition_is_that_of_its_build() -> None:
    edition = python_edition()
    assert edition == python_edition()
    assert edition.licence == "PSF-2.0"
    assert edition.seen_at.endswith("Z")


def test_a_build_without_a_date_takes_the_librarys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.python_build", lambda: ("main", "some day"))
    assert python_edition().seen_at.startswith("20")


def test_a_packages_edition_names_version_and_licence() -> None:
    edition = package_edition("pydantic")
    assert edition.version.startswith("pydantic 2.")
    assert edition.licence == "MIT"
    assert package_edition("pydantic") == edition


def test_a_package_under_another_name_is_found() -> None:
    assert package_edition("yaml").version.startswith("yaml 6")


@pytest.mark.parametrize("name", ["not_installed_at_all", "not a name", ""])
def test_a_missing_package_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=f"Package {name!r} of source package_reference is not installed"):
        package_edition(name)


@pytest.mark.parametrize(
    ("headers", "licence"),
    [
        ({"License-Expression": "MIT AND BSD-3-Clause"}, "MIT AND BSD-3-Clause"),
        ({"License": "Apache-2.0"}, "Apache-2.0"),
        ({"License": "A long text\nthat grants rights", "Classifier": "License :: OSI Approved :: MIT License"}, "MIT"),
        ({"Classifier": "License :: Other"}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_licences_become_spdx_or_unknown(headers: dict[str, str], licence: str) -> None:
    about = Message()
    for name, value in headers.items():
        about[name] = value
    assert installed._licence(about) == licence
    assert installed._licence(None) == "unknown"
