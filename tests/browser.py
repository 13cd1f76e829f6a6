"""A headless Chromium that reaches nothing but one address; without one, tests that need it skip and say why."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@contextmanager
def chromium() -> Iterator[Any]:
    """Yield a browser: playwright's own or, where that is not installed, the system's."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as play:
        own = Path(play.chromium.executable_path)
        path = str(own) if own.exists() else next(filter(None, map(shutil.which, NAMES)), None)
        if path is None:
            pytest.skip("needs Chromium: `playwright install chromium`, or install it with the system")
        browser = play.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def local_page(browser: Any, file: Path, **options: Any) -> tuple[Any, list[str]]:
    """Open a file as a person does, with no network; return the page, and what it asked for or complained of."""
    address, strays = file.absolute().as_uri(), list[str]()
    context = browser.new_context(offline=True, **options)
    page = context.new_page()
    page.on("request", lambda request: strays.append(request.url) if request.url != address else None)
    _note_troubles(page, strays)
    page.goto(address)
    return page, strays


def is_too_wide(page: Any) -> bool:
    """Return whether a page must be scrolled sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


def closed_page(browser: Any, url: str, **options: Any) -> tuple[Any, list[str]]:
    """Return a page that can load from `url` alone, and the list to which whatever else it asks for is added."""
    strays: list[str] = []
    context = browser.new_context(base_url=url, **options)

    def guard(route: Any) -> None:
        address = route.request.url
        if address.startswith((f"{url}/", "data:", "blob:")):
            route.continue_()
        else:
            strays.append(address)
            route.abort()

    context.route("**/*", guard)
    page = context.new_page()
    _note_troubles(page, strays)
    return page, strays


def _note_troubles(page: Any, strays: list[str]) -> None:
    page.on("pageerror", lambda error: strays.append(f"script error: {error}"))
    page.on("console", lambda said: strays.append(said.text) if said.type in ("error", "warning") else None)
