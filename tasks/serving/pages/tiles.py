"""The dashboard's tiles: one question each, its answer in words, a picture, and links to the evidence. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from tasks.adapters.release.ledger_queries import Recorded
from tasks.core.digests import short
from tasks.core.monitoring.serving_stats import Figures
from tasks.core.rollout.decision import WATCHED
from tasks.core.wording import points, signed_points
from tasks.serving.pages import charts
from tasks.serving.pages.dashboard import Board
from tasks.serving.records.recording import Counts

NOT_MEASURED = "not measured yet"


UNREADABLE = "cannot be read"


MOST_FAILED = WATCHED["errors"].margin  # what a rollout accepts


DRIFT = {
    "NONE": ("no drift", "good"),
    "SUSPECTED": ("suspected", "unsure"),
    "CONFIRMED": ("confirmed", "bad"),
    "TOO_FEW_ROWS": ("too few answers", ""),
}


@dataclass(frozen=True)
class Now:
    """What the gateway's own process knows at this moment."""

    running: int
    waiting: int
    arms: tuple[tuple[str, str], ...]
    """Name and model of each arm that answers."""
    records: Counts | None
    rollout: str | None
    """The rollout in a sentence; None: none is known."""


@dataclass(frozen=True)
class Tile:
    """One question and its answer. state: good, bad, unsure, or nothing to say."""

    title: str
    value: str
    words: Sequence[str]
    links: Sequence[tuple[str, str]]
    """Address and text."""
    chart: Markup | None = None
    caption: str = ""
    state: str = ""
    is_code: bool = False

    @property
    def is_measured(self) -> bool:
        return self.value not in (NOT_MEASURED, UNREADABLE)


def tiles(board: Board, now: Now) -> list[Tile]:
    """Return the tiles in the order in which they are read."""
    return [
        _quality(board),
        _drift(board),
        _grounding(board),
        _latency(board),
        _traffic(board, now),
        _cost(board),
        _rollout(board, now),
        _records(board, now),
    ]


def _quality(board: Board) -> Tile:
    history, opinions = board.history, board.opinions
    if history is None:
        return Tile("Answer quality", UNREADABLE, [], [])
    words, said = [], opinions.liked + opinions.disliked if opinions else 0
    if opinions and said:
        words.append(f"In 24 hours users liked {opinions.liked} of {said} answers that they judged.")
    elif opinions:
        words.append("In 24 hours no user judged an answer.")
    if history.champions is None:
        return Tile("Answer quality", NOT_MEASURED, ["No champion serves that a gate has measured.", *words], [])
    verdict = history.champions.facts.verdict
    found = verdict.primary.comparison
    told = f"{verdict.primary.label} of {short(history.champions.facts.candidate)} in its evaluation: "
    told += f"{signed_points(found.gain)} points on the {_rival(history.champions)}, {verdict.items:,} questions."
    scores = [v.facts.verdict.primary.comparison.candidate for v in reversed(history.verdicts)]
    return Tile(
        "Answer quality",
        f"{points(found.candidate)} of 100",
        [told, *words],
        [(_note(history.champions), "Release note")],
        charts.bars(scores, f"Quality of the last {len(scores)} candidates: {_list(scores, points)}"),
        f"the last {len(scores)} candidates" if len(scores) > 1 else "the only candidate so far",
    )


def _drift(board: Board) -> Tile:
    drift = board.drift
    if drift is None:
        unread = any(note.startswith("Drift") for note in board.notes)
        value, told = (UNREADABLE, []) if unread else (NOT_MEASURED, ["No monitor run has compared the traffic yet."])
        return Tile("Drift", value, told, [])
    word, state = DRIFT[drift.outcome]
    compared = f"{drift.rows[1]:,} answers against {drift.rows[0]:,} of the reference, {_moment(drift.at)}."
    links = [(f"/evidence/drift/{name}", _title(name)) for name in drift.pages]
    links.append(("/evidence/drift/verdict.json", "Verdict"))
    return Tile("Drift", word, [drift.headline, *drift.reasons[:2], compared], links, state=state)


def _grounding(board: Board) -> Tile:
    title, figures, links = "Hallucination screen", board.figures, [("/review", "Review queue")]
    if figures is None or figures.ungrounded_share is None:
        return Tile(title, _missing(figures), ["No answer was screened in 24 hours."] if figures else [], links)
    by_hour = _by_hour(board, lambda hour: hour.ungrounded_share)
    words = [
        f"{figures.ungrounded:,} of {figures.screened:,} answers hold a number, name or identifier that neither their "
        "documents nor the question has."
    ]
    if figures.abstained_share is not None:
        words.append(f"{_percent(figures.abstained_share)} say that the documents hold no answer.")
    said = f"Share of answers with terms that no document holds, by hour: {_list(by_hour, _percent)}"
    chart, caption = charts.bars(by_hour, said), _most(by_hour, _percent)
    return Tile(title, _percent(figures.ungrounded_share), words, links, chart, caption)


def _latency(board: Board) -> Tile:
    figures, links = board.figures, [("/evidence/metrics", "Metrics")]
    slow = figures.seconds.quantile(0.95) if figures else None
    if figures is None or slow is None:
        return Tile("Latency", _missing(figures), ["No answer in 24 hours."] if figures else [], links)
    by_hour = _by_hour(board, lambda hour: hour.seconds.quantile(0.95))
    words = [f"95 of 100 answers were whole within this time, half within {_seconds(figures.seconds.quantile(0.5))}."]
    first = figures.first.quantile(0.5)
    if first is not None:
        words.append(f"Half showed their first word within {_seconds(first)}.")
    said = f"Time that 95 of 100 answers kept, by hour: {_list(by_hour, _seconds)}"
    return Tile("Latency", _seconds(slow), words, links, charts.bars(by_hour, said), _most(by_hour, _seconds))


def _traffic(board: Board, now: Now) -> Tile:
    figures, links = board.figures, [("/evidence/metrics", "Metrics")]
    present = f"Now {now.running} are under way and {now.waiting} wait."
    if figures is None:
        return Tile("Answers", UNREADABLE, [present], links)
    words = [present]
    if figures.failed_share is not None:
        words.insert(
            0, f"{figures.failed:,} failed ({_percent(figures.failed_share)}); {figures.cancelled:,} were given up."
        )
    by_hour: list[float | None] = [float(hour.answers) for _, hour in board.hours or ()]
    said = f"Answers by hour: {_list(by_hour, _count)}"
    state = "bad" if (figures.failed_share or 0.0) > MOST_FAILED else ""
    chart, caption = charts.bars(by_hour, said), _most(by_hour, _count)
    return Tile("Answers", f"{figures.answers:,}", words, links, chart, caption, state)


def _cost(board: Board) -> Tile:
    figures, links = board.figures, [("/evidence/metrics", "Metrics")]
    if figures is None or figures.cpu_s_each is None:
        told = [f"{figures.tokens:,} tokens were written; no engine told what they cost."] if figures else []
        return Tile("Cost", _missing(figures), told, links)
    by_hour = _by_hour(board, lambda hour: hour.cpu_s_each)
    words = [f"Processor time of an answer; {figures.cpu_s:,.0f} s in all for {figures.tokens:,} tokens."]
    if figures.cached:
        words.append(f"{figures.cached:,} came from the cache.")
    said = f"Processor time of an answer, by hour: {_list(by_hour, _seconds)}"
    return Tile(
        "Cost", _seconds(figures.cpu_s_each), words, links, charts.bars(by_hour, said), _most(by_hour, _seconds)
    )


def _rollout(board: Board, now: Now) -> Tile:
    words = [now.rollout] if now.rollout else []
    links = []
    history = board.history
    if history and history.champion:
        words.append(f"Champion since {_minute(history.champion.moved_at)} UTC ({history.champion.by}).")
        links = [(_note(history.champions), "Release note")] if history.champions else []
        if all(model != history.champion.model for _, model in now.arms):
            words.append(f"This gateway does not serve the champion {short(history.champion.model)} yet.")
    elif history:
        words.append("No version has been promoted yet: the base model answers.")
    served = dict(board.figures.by_arm) if board.figures else {}
    parts = [(name, model, served.get(f"{name} {model}", 0)) for name, model in now.arms]
    everything = sum(count for _, _, count in parts)
    words += [
        f"{name.capitalize()} {short(model)}: {count:,} of {everything:,} answers in 24 hours."
        for name, model, count in parts
    ]
    chart = charts.shares([count for _, _, count in parts], "; ".join(words)) if len(parts) > 1 and everything else None
    return Tile("Rollout", " and ".join(short(model) for _, model in now.arms), words, links, chart, is_code=True)


def _records(board: Board, now: Now) -> Tile:
    counts, opinions, links = (
        now.records,
        board.opinions,
        [("/review", "Review queue"), ("/evidence/metrics", "Metrics")],
    )
    words = []
    if opinions:
        words.append(f"Of 24 hours' feedback {opinions.waiting:,} waits for review; {opinions.labelled:,} has it.")
    if counts is None:
        return Tile("Records", NOT_MEASURED, words, links)
    lost = counts.dropped + counts.failed
    words.insert(0, f"Kept since the start; {counts.pending:,} are being written, {lost:,} were lost.")
    if counts.delayed:
        words.append(f"The store was out of reach {counts.delayed:,} times; nothing is lost by that.")
    return Tile("Records", f"{counts.recorded:,}", words, links, state="bad" if lost else "")


def _note(found: Recorded) -> str:
    name = next((page for page in sorted(found.facts.pages, reverse=True)), "")
    return f"/evidence/verdicts/{found.entry.number}/{name}"


def _rival(found: Recorded) -> str:
    return "base model" if found.facts.champion is None else "champion before it"


def _title(name: str) -> str:
    return name.rpartition(".")[0].replace("_", " ").capitalize()


def _missing(figures: Figures | None) -> str:
    return UNREADABLE if figures is None else NOT_MEASURED


def _by_hour(board: Board, read: Callable[[Figures], float | None]) -> list[float | None]:
    return [read(hour) for _, hour in board.hours or ()]


def _list(values: Sequence[float | None], say: Callable[[float], str]) -> str:
    return ", ".join("none" if value is None else say(value) for value in values)


def _most(values: Sequence[float | None], say: Callable[[float], str]) -> str:
    known = [value for value in values if value is not None]
    return f"the last 24 hours, at most {say(max(known))}" if known else ""


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _count(number: float) -> str:
    return f"{number:,.0f}"


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return NOT_MEASURED
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _minute(at: str) -> str:
    return at[:16].replace("T", " ")


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
