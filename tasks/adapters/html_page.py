"""Render self-contained HTML pages from jinja2 templates: values escaped, styles and pictures inlined.

Reads a template and what it includes. A value that a template names and the caller did not pass is an error.
"""

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def render_page(template: Path, *shared: Path, **values: object) -> str:
    """Return the page. The template may include files beside it, and those of the folders `shared`."""
    return _environment(template.parent, *shared).get_template(template.name).render(**values)


@cache
def _environment(*folders: Path) -> Environment:
    return Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
