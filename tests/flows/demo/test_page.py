"""The demo's closing page."""

from datetime import UTC, datetime
from pathlib import Path

from flows.demo.page import Chapter, Quality, Story, write_story


def story(folder: Path, ending: str = "") -> Story:
    chapter = Chapter("A new topic", datetime(2026, 5, 1, 10, tzinfo=UTC), echo=lambda _: None)
    chapter.add("It is <b>new</b>.", "CONFIRMED: quality fell.")
    chapter.links["drift report"] = "file:///tmp/report.html"
    qualities = [Quality("usual questions", 0.9, 220), Quality("with numpy", None, 0)]
    return Story(folder, [chapter], qualities, ending)


def test_the_page_tells_each_chapter_with_its_evidence(tmp_path: Path) -> None:
    page = write_story(story(tmp_path)).read_text()
    for part in ("The loop, once around", "A new topic", "10:00:00", "90.0 of 100", "not measured", "&lt;b&gt;"):
        assert part in page
    assert 'href="file:///tmp/report.html"' in page
    assert "<script" not in page


def test_a_story_that_ended_early_says_why(tmp_path: Path) -> None:
    page = write_story(story(tmp_path, "The gate says REJECT.")).read_text()
    assert "The loop stopped on its way" in page
    assert "The gate says REJECT." in page
