"""Chapter 1: the champion answers the questions it was measured on, and the monitor has nothing to report."""

from flows.demo.telling import Telling
from flows.demo.waiting import TurnedOutOtherwiseError
from tasks.core.digests import short


def tell(telling: Telling, champion: str, usual: list[str]) -> None:
    """Raises TurnedOutOtherwiseError where the monitor is alarmed by usual questions."""
    with telling.chapter("The champion and its usual traffic") as chapter:
        chapter.add(f"{short(champion)} serves. People ask what it was measured on.")
        telling.ask_a_window(usual)
        window = telling.judge_window(champion, "usual questions")
        chapter.add(f"The monitor says: {window.drift.headline}")
        chapter.links["drift report"] = telling.page_of(window)
        if window.is_confirmed:
            raise TurnedOutOtherwiseError(f"The monitor is alarmed by usual questions: {window.drift.headline}")
