"""The dashboard as one HTML page: a tile for each question, with its picture and a link to the evidence (jinja2).

`tiles` puts the board into words and is pure. What was not measured says so and shows no figure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.adapters.html_page import render_page
from tasks.adapters.release.ledger_queries import Recorded
from tasks.core.digests import short
from tasks.core.wording import points
from tasks.serving.pages.dashboard import Board
from tasks.serving.pages.tiles import Now, _minute, _moment, _title, tiles

TEMPLATE = Path(__file__).with_name("dashboard_page.html.j2")
OUTCOMES = {"PROMOTE": ("promoted", "good"), "REJECT": ("rejected", "bad"), "INCONCLUSIVE": ("not decided", "unsure")}


@dataclass(frozen=True)
class VerdictRow:
    """A line of the table of verdicts."""

    at: str
    word: str
    state: str
    candidate: str
    headline: str
    quality: str
    links: Sequence[tuple[str, str]]


def render(board: Board, now: Now, form_token: str) -> str:
    """Return the page."""
    return render_page(
        TEMPLATE,
        tiles=tiles(board, now),
        rows=[_row(verdict) for verdict in board.history.verdicts] if board.history else [],
        notes=board.notes,
        at=_moment(board.at),
        form_token=form_token,
    )


def _row(found: Recorded) -> VerdictRow:
    verdict = found.facts.verdict
    word, state = OUTCOMES[verdict.outcome]
    quality = verdict.primary.comparison
    links = [
        (f"/evidence/verdicts/{found.entry.number}/{name}", _title(name))
        for name in sorted(found.facts.pages, reverse=True)
    ]
    return VerdictRow(
        at=_minute(found.entry.at),
        word=word,
        state=state,
        candidate=short(found.facts.candidate),
        headline=verdict.headline,
        quality=f"{points(quality.candidate)} against {points(quality.champion)}",
        links=links,
    )
