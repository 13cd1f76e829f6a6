"""Chapter 6: the new champion is asked the same mixture of questions, and the monitor judges the window."""

from flows.demo.telling import Telling


def tell(telling: Telling, champion: str, questions: list[str]) -> None:
    """Whatever the monitor finds is told: the page shows the quality beside that of the champion before."""
    with telling.chapter("The same questions, the new champion") as chapter:
        telling.ask_a_window(questions)
        window = telling.judge_window(champion, "new champion")
        chapter.add(*window.lines())
        chapter.links["drift report"] = telling.page_of(window)
