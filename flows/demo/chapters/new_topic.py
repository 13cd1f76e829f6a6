"""Chapter 2: half of the questions are about a topic without documents, until the monitor confirms what is missing."""

from flows.demo.telling import Telling
from flows.demo.waiting import TurnedOutOtherwiseError

MAX_WINDOWS = 3


def tell(telling: Telling, champion: str, mixed: list[str], package: str) -> None:
    """Raises TurnedOutOtherwiseError where the monitor does not confirm it within MAX_WINDOWS windows."""
    with telling.chapter("A new topic") as chapter:
        chapter.add(
            f"Every other question is now about {package}, of which the champion has no document, and who asks it "
            "says by thumbs up or down whether the answer was right."
        )
        for _ in range(MAX_WINDOWS):
            telling.ask_a_window(mixed)
            window = telling.judge_window(champion, f"with {package}")
            chapter.add(*window.lines())
            chapter.links[f"drift report of window {window.number}"] = telling.page_of(window)
            if window.is_confirmed and package in window.requested_documents().packages:
                return
        raise TurnedOutOtherwiseError(f"The monitor has not confirmed that documents of {package} are missing.")
