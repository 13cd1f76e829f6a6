"""The pages in headless Chromium that reaches nothing but the gateway; its pictures lie in the test's folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import chromium, closed_page, is_too_wide

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as made:
        yield made


def sign_in(page: Any, house: Any, path: str = "/") -> None:
    page.goto(path)
    page.fill("input[name=key]", house.live.admin)
    page.click("text=Sign in >> nth=-1")
    page.wait_for_url(f"**{path}")


def without_refusals(strays: list[str]) -> list[str]:
    """Leave out what Chromium says of the 401 that shows the form to sign in."""
    return [stray for stray in strays if "status of 401" not in stray]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_the_dashboard_shows_everything_offline(
    stocked: Any, browser: Any, tmp_path: Path, scheme: str, size: dict[str, int]
) -> None:
    page, strays = closed_page(browser, stocked.live.url, viewport=size, color_scheme=scheme)
    page.goto("/")
    page.screenshot(path=tmp_path / "sign_in.png", full_page=True)
    sign_in(page, stocked)
    page.screenshot(path=tmp_path / "dashboard.png", full_page=True)
    assert page.locator(".tile").count() == 8
    assert page.locator(".tile svg").count() >= 4
    assert page.locator(".tile svg").first.bounding_box()["height"] > 30
    assert page.locator("tbody tr").count() == 2
    assert not is_too_wide(page)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(17, 21, 29)") == (scheme == "dark")
    assert without_refusals(strays) == []


def test_each_kind_of_evidence_opens_from_its_tile(stocked: Any, browser: Any, tmp_path: Path) -> None:
    page, strays = closed_page(browser, stocked.live.url, viewport=DESK)
    sign_in(page, stocked)
    for link, words in (
        ("Drift report", "Drift report"),
        ("Release note", "What was measured"),
        ("Metrics", "ratchet_"),
    ):
        page.click(f".tile >> text={link} >> nth=0")
        assert words in page.inner_text("body")
        page.screenshot(path=tmp_path / f"{link.lower().replace(' ', '_')}.png", full_page=True)
        page.go_back()
    page.click(".tile >> text=Drift report")
    assert page.inner_text("#w") == "drawn by its own script"
    assert page.evaluate("(() => { try { return document.cookie } catch { return 'none' } })()") in ("", "none")
    page.goto("/")
    page.click("text=Sign out")
    page.wait_for_selector("input[name=key]")
    page.goto("/review")
    assert page.locator("input[name=key]").count() == 1
    assert without_refusals(strays) == []


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_a_label_given_on_the_review_page_arrives(
    stocked: Any, browser: Any, tmp_path: Path, size: dict[str, int]
) -> None:
    answer = stocked.ask("What does <b>foo</b> do?", "It calls foo_baz and returns qux_1987.")
    assert stocked.say({"answer_id": answer, "thumb": "down", "correction": "It does nothing."}).status_code == 201
    assert stocked.recorder.flush()
    page, strays = closed_page(browser, stocked.live.url, viewport=size)
    sign_in(page, stocked, "/review")
    page.screenshot(path=tmp_path / "review.png", full_page=True)
    first = page.locator("article").first
    assert "What does <b>foo</b> do?" in first.inner_text()
    assert first.locator("textarea").first.input_value() == "It does nothing."
    assert not is_too_wide(page)
    first.locator("textarea").first.fill("It does\nnothing at all.")
    first.locator("textarea").nth(1).fill("checked")
    first.locator("text=Correct: save my text").click()
    page.wait_for_selector("text=Kept: your correction.")
    page.screenshot(path=tmp_path / "labelled.png", full_page=True)
    assert answer not in page.inner_text("body")
    label = next(verdict for verdict in stocked.kept() if verdict.review == "accepted")
    assert (label.answer_id, label.correction, label.reason) == (answer, "It does\nnothing at all.", "checked")
    assert without_refusals(strays) == []


def test_a_session_needs_no_script_and_keeps_its_cookie_to_itself(house: Any, browser: Any) -> None:
    page, _ = closed_page(browser, house.live.url, java_script_enabled=False)
    sign_in(page, house)
    assert page.locator(".tile").count() == 8
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
