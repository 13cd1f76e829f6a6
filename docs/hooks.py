"""Hooks of the documentation's build: a script that the theme would load from elsewhere is taken from the site."""

from pathlib import PurePosixPath
from typing import Any

ELSEWHERE, HERE = "https://unpkg.com/iframe-worker/shim", "assets/iframe-worker.js"


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Return the page with the script's address in the site."""
    depth = len(PurePosixPath(page.file.dest_uri).parts) - 1
    return output.replace(ELSEWHERE, "../" * depth + HERE)


def on_post_template(output: str, template_name: str, **_: Any) -> str:
    """Do the same for pages that are no document, such as 404.html."""
    return output.replace(ELSEWHERE, f"/{HERE}") if template_name.endswith(".html") else output
