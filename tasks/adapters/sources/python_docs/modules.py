"""Import the modules of a library for their documentation, without their side effects.

Modules that open windows or browsers, print, or change the interpreter are left out by name; what the others print or
warn while they load is swallowed. Caveat: importing runs a module's code, so list packages you would import anyway.
"""

import contextlib
import importlib
import io
import logging
import pkgutil
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType

logger = logging.getLogger(__name__)

LEFT_OUT = {  # of the standard library, and why
    "antigravity": "opens a browser",
    "this": "prints",
    "idlelib": "an application",
    "tkinter": "wants a display",
    "turtle": "wants a display",
    "turtledemo": "wants a display",
    "test": "tests",
    "lib2to3": "warns, and leaves caches",
    "distutils": "replaced by setuptools",
    "ensurepip": "an installer",
    "encodings": "a hundred codecs with the same text",
    "pydoc_data": "read as language topics",
    "readline": "changes the terminal",
    "rlcompleter": "changes the terminal",
    "sysconfig": "its defaults tell where Python is installed",
    "site": "its text tells where Python is installed",
    "xxlimited": "an example",
    "xxlimited_35": "an example",
    "xxsubtype": "an example",
    "genericpath": "shown as os.path",
    "posixpath": "shown as os.path",
    "ntpath": "the twin of os.path",
    "nturl2path": "internal",
    "posix": "shown as os",
    "nt": "shown as os",
    "sre_compile": "internal",
    "sre_constants": "internal",
    "sre_parse": "internal",
}
HOOKS = {"excepthook", "unraisablehook", "displayhook", "breakpointhook"}  # made to be replaced, and test runners do
NEVER = {"__main__", "tests", "test", "testing", "conftest", "setup"}


def standard_library() -> list[str]:
    """Return the names of the running interpreter's public top-level modules."""
    names = {name for name in sys.stdlib_module_names if not name.startswith("_") and name not in LEFT_OUT}
    return sorted(names | {"os.path"})


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Swallow warnings and output of foreign code."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield


def walk(roots: Sequence[str], is_wanted: Callable[[str], bool]) -> Iterator[tuple[str, ModuleType]]:
    """Yield the wanted modules below `roots` by name, in a fixed order; what cannot be imported is passed over."""
    for root in roots:
        yield from _walk(root, is_wanted)


def _walk(name: str, is_wanted: Callable[[str], bool]) -> Iterator[tuple[str, ModuleType]]:
    if not is_wanted(name):
        return
    module = _load(name)
    if module is None:
        return
    yield name, module
    for child in sorted(info.name for info in pkgutil.iter_modules(getattr(module, "__path__", []))):
        if not child.startswith("_") and child not in NEVER:
            yield from _walk(f"{name}.{child}", is_wanted)


def _load(name: str) -> ModuleType | None:
    try:
        with quiet():
            return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # another platform's module, a missing C library, anything
        logger.debug("passed over %s: %s", name, type(error).__name__)
        return None
