"""Render the demo's closing page: what happened when, figures, and links to the evidence. One file, no network."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tasks.adapters.html_page import render_page
from tasks.adapters.storage.files import write_text
from tasks.core.wording import points
from tasks.serving import pages

TEMPLATE, PAGE = Path(__file__).with_name("page.html.j2"), "index.html"


@dataclass
class Chapter:
    """A part of the story. `echo` prints each line as it is added."""

    title: str
    at: datetime
    echo: Callable[[str], None]
    lines: list[str] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)
    """Address of the evidence by what it is."""
    seconds: float = 0.0

    def add(self, *lines: str) -> None:
        """Print these lines and keep them."""
        self.lines += lines
        for line in lines:
            self.echo(line)


@dataclass(frozen=True)
class Quality:
    """Share of good answers in a window of served ones; None where it was not measured."""

    when: str
    share: float | None
    answers: int


@dataclass
class Story:
    """All of it. `ending`: why it ended early, "" where it did not."""

    folder: Path
    chapters: list[Chapter] = field(default_factory=list)
    qualities: list[Quality] = field(default_factory=list)
    ending: str = ""


def write_story(story: Story) -> Path:
    """Write the page into the story's folder, and return where it is."""
    page = render_page(
        TEMPLATE,
        Path(pages.__file__).parent,  # of the gateway's styles
        story=story,
        of_hundred=_of_hundred,
        minutes=sum(chapter.seconds for chapter in story.chapters) / 60,
    )
    path = story.folder / PAGE
    write_text(path, page)
    return path


def _of_hundred(found: Quality) -> str:
    return f"{points(found.share)} of 100" if found.share is not None else "not measured"
