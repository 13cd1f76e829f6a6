import re
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from tests.browser import chromium, is_too_wide, local_page
from tests.tasks.conftest import BAD, EQUAL, GOOD, Loop

VOID = {"meta", "link", "br", "line", "rect", "circle"}


class Page(HTMLParser):
    """Reads a page, checks that its tags balance, and keeps its words and what it would load."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.words: list[str] = []
        self.pictures = 0
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attributes if name in ("src", "href")]
        self.pictures += tag == "svg"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page(loop: Loop) -> Page:
    html = (loop.folder("promote") / "release_note.html").read_text()
    assert "url(" not in html
    assert "@import" not in html
    return Page(html)


def test_a_promotion_reads_as_one(loop: Loop) -> None:
    report = loop.turn(GOOD)
    note = page(loop)
    assert "Promoted: the new model goes into service" in note.text
    assert "Why it was not promoted" not in note.text
    assert report.candidate[:12] in note.text
    assert note.loads == []
    assert note.pictures == 5 + 1 + 6  # a metric each, their axis, a bar for each step of the data
    for words in ("120 questions asked", "CC-BY-4.0", "first model", "7", "near", "24,000"):
        assert words in note.text.replace("  ", " "), words


def test_an_undecided_verdict_says_what_would_decide(loop: Loop) -> None:
    loop.turn(GOOD)
    report = loop.turn(EQUAL, seed=1)
    note = page(loop)
    assert "Not decided" in note.text
    assert f"About {report.items_needed:,} questions would probably decide" in note.text
    assert "four times out of five" in note.text


def test_a_rejection_names_the_harm(loop: Loop) -> None:
    loop.turn(GOOD)
    report = loop.turn(BAD, seed=1)
    text = page(loop).text.replace("−", "-")
    assert "Rejected" in text
    for reason in report.reasons:
        assert reason in text


def test_texts_from_the_data_stay_texts(loop: Loop) -> None:
    loop.turn(GOOD)
    html = (loop.folder("promote") / "release_note.html").read_text()
    assert "<b>bold</b>" not in html
    assert "It returns &lt;b&gt;bold&lt;/b&gt; text &amp; more." in html


def test_what_was_not_measured_is_drawn_as_such(loop: Loop) -> None:
    loop.train()
    loop.fetch()
    loop.evaluate(GOOD)
    path = loop.folder("evaluate") / "rows.parquet"
    pl.read_parquet(path).drop("ungrounded").write_parquet(path)
    loop.promote()
    assert page(loop).text.count("not measured") >= 2


def test_a_page_survives_measurements_that_are_gone(loop: Loop) -> None:
    loop.train()
    loop.fetch()
    loop.evaluate(GOOD)
    for name in ("rows", "probe"):
        path = loop.folder("evaluate") / f"{name}.parquet"
        pl.read_parquet(path).clear().write_parquet(path)
    assert loop.promote().outcome == "INCONCLUSIVE"
    assert "None." in page(loop).text


def test_long_answers_are_cut(loop: Loop) -> None:
    loop.train()
    loop.fetch()
    loop.evaluate(GOOD)
    path = loop.folder("evaluate") / "rows.parquet"
    pl.read_parquet(path).with_columns(answer=pl.lit("word " * 5000)).write_parquet(path)
    loop.promote()
    note = page(loop)
    assert "word …" in note.text
    assert len(note.text) < 20_000


@pytest.mark.parametrize("gain", [GOOD, EQUAL, BAD])
def test_every_bar_and_dot_lies_inside_its_picture(loop: Loop, gain: float) -> None:
    loop.turn(gain)
    html = (loop.folder("promote") / "release_note.html").read_text()
    dots = [float(x) for x in re.findall(r'cx="([\d.-]+)"', html)]
    assert len(dots) == 5
    assert all(0 <= x <= 340 for x in dots)


@pytest.mark.slow
def test_it_opens_from_a_folder_in_a_browser_on_a_desk_and_on_a_phone(loop: Loop, tmp_path: Path) -> None:
    loop.turn(GOOD)
    loop.turn(BAD, seed=1)
    with chromium() as browser:
        for name, width in (("desk", 1280), ("phone", 390)):
            size = {"width": width, "height": 900}
            note = loop.folder("promote") / "release_note.html"
            page, strays = local_page(browser, note, viewport=size)
            page.screenshot(path=tmp_path / f"note_{name}.png", full_page=True)
            assert page.locator("svg").count() == 12
            assert page.locator("svg").first.bounding_box()["width"] > 100
            assert "Rejected" in page.inner_text("h1")
            assert not is_too_wide(page)
            assert strays == []
