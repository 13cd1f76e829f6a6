"""Signatures as documentation shows them, free of this machine's state."""

import enum
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.adapters.sources.python_docs.signatures import describe, parameters_of, show
from tasks.core.questions.corpus import UNSHOWN


class Colour(enum.Enum):
    RED = 1


def every_sort(a: int, /, b: object = None, *rest: int, c: str = "x", **more: int) -> None: ...


def keyword_only(a: int, *, b: int = 1) -> None: ...


def positional_only(a: int, b: int, /) -> None: ...


class Holder:
    def method(self, x: int = 1) -> None: ...

    def vague(self, *args: Any, **kwargs: Any) -> None: ...


@pytest.mark.parametrize(
    ("obj", "drop_first", "shown"),
    [
        (every_sort, False, "(a, /, b=None, *rest, c='x', **more)"),
        (keyword_only, False, "(a, *, b=1)"),
        (positional_only, False, "(a, b, /)"),
        (Holder.method, True, "(x=1)"),
        (len, False, "(obj, /)"),
    ],
)
def test_markers_and_defaults_are_shown(obj: Callable[..., Any], drop_first: bool, shown: str) -> None:
    parameters = parameters_of(obj, drop_first=drop_first)
    assert parameters is not None
    assert show(parameters) == shown


@pytest.mark.parametrize("obj", [Holder.vague, max, object()])
def test_an_unknown_or_empty_signature_is_none(obj: object) -> None:
    assert parameters_of(obj, drop_first=True) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (-1, "-1"),
        ("utf-8", "'utf-8'"),
        ((1, "a"), "(1, 'a')"),
        ((1,), "(1,)"),
        ([], "[]"),
        ({}, "{}"),
        (Colour.RED, "Colour.RED"),
        (int, "int"),
        (json.JSONEncoder, "json.encoder.JSONEncoder"),
        (json.dumps, "json.dumps"),
    ],
)
def test_plain_values_are_shown(value: object, text: str) -> None:
    assert describe(value) == text


@pytest.mark.parametrize(
    "value",
    [
        object(),
        sys.stdout,
        os.environ,
        lambda: None,
        {"a": 1},
        {1, 2},
        (object(),),
        "x" * 99,
        str(Path.cwd()),
        sys.prefix + "/lib",
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_depends_on_the_moment_or_machine_is_not_shown(value: object) -> None:
    assert describe(value) == UNSHOWN
