"""The parameters of a live object as documentation shows them (inspect).

Defaults are shown only where they are plain values. What else there is (open files, sentinels, the environment) would
put memory addresses or this machine's state into a document, so it is shown as `...`.
"""

import enum
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

from tasks.core.questions.corpus import UNSHOWN, Parameter

MAX_SHOWN = 60
STARS: dict[object, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
_ANYTHING_GOES = {"args", "kwargs", "kwds", "kw"}


def parameters_of(obj: object, *, drop_first: bool) -> tuple[Parameter, ...] | None:
    """Return the parameters of `obj` with the markers `/` and `*`, or None where Python does not know them.

    `drop_first` leaves out `self`. A signature that only says `(*args, **kwargs)` counts as unknown.
    """
    try:
        found = list(inspect.signature(obj).parameters.values())  # type: ignore[arg-type]
    except (ValueError, TypeError, NotImplementedError, RecursionError, AttributeError, NameError, SyntaxError):
        return None
    kept = found[1:] if drop_first and found else found
    is_vague = kept and all(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and p.name in _ANYTHING_GOES for p in kept)
    return None if is_vague else tuple(_shown(kept))


def show(parameters: tuple[Parameter, ...]) -> str:
    """Return the signature with its parentheses."""
    return f"({', '.join(map(str, parameters))})"


def _shown(parameters: list[inspect.Parameter]) -> Iterator[Parameter]:
    before: inspect.Parameter | None = None
    has_star = False
    for parameter in parameters:
        if before is not None and before.kind is before.POSITIONAL_ONLY and parameter.kind is not before.kind:
            yield Parameter("/")
        if parameter.kind is parameter.KEYWORD_ONLY and not has_star:
            yield Parameter("*")
        has_star = has_star or parameter.kind in (parameter.VAR_POSITIONAL, parameter.KEYWORD_ONLY)
        stars = STARS.get(parameter.kind, "")
        default = None if parameter.default is parameter.empty else describe(parameter.default)
        yield Parameter(stars + parameter.name, default)
        before = parameter
    if before is not None and before.kind is before.POSITIONAL_ONLY:
        yield Parameter("/")


def describe(value: object) -> str:
    """Return a default as source code would write it, or `...` where it is no plain value."""
    text = _describe(value)
    return text if len(text) <= MAX_SHOWN and not _tells_where(text) else UNSHOWN


def _describe(value: object) -> str:
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}" if value.name and "|" not in value.name else UNSHOWN
    if value is None or type(value) in (bool, int, float, complex, str, bytes):
        return repr(value)
    if type(value) in (tuple, list):
        return _describe_sequence(value)  # type: ignore[arg-type]
    if type(value) is dict and not value:
        return "{}"
    if inspect.isclass(value) or inspect.isroutine(value):
        return _describe_named(value)
    return UNSHOWN


def _describe_sequence(value: tuple[object, ...] | list[object]) -> str:
    parts = [_describe(part) for part in value]
    if UNSHOWN in parts:
        return UNSHOWN
    inside = ", ".join(parts) + ("," if isinstance(value, tuple) and len(parts) == 1 else "")
    return f"({inside})" if isinstance(value, tuple) else f"[{inside}]"


def _describe_named(value: object) -> str:
    name = getattr(value, "__qualname__", "<")
    module = getattr(value, "__module__", None) or "builtins"
    if "<" in name or any(part.startswith("_") for part in f"{module}.{name}".split(".")):
        return UNSHOWN
    return name if module == "builtins" else f"{module}.{name}"


def _tells_where(text: str) -> bool:
    """Return whether the text holds a folder of this machine or user."""
    places = (sys.prefix, sys.base_prefix, str(Path.cwd()), str(Path.home()))
    return any(len(place) > 1 and place in text for place in places)
