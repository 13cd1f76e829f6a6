"""The gateway's pages as jinja2 templates: styles and pictures inside, so that they need nothing from anywhere."""

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


@cache
def environment() -> Environment:
    """Return the templates beside this file; everything put into them is escaped."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render_page(template: str, **values: object) -> str:
    """Return a page."""
    return environment().get_template(template).render(**values)
