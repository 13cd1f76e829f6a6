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
    page.on("pageerror", lambda error: strays.append(f"script error: {error}"))
    page.on("console", lambda said: strays.append(said.text) if said.type in ("error", "warning") else None)
    return page, strays
