"""Labelled text: spans marked by hand, and the precision and recall of a detector on them.

The notation is `Write to [[EMAIL:jane@corp.example]] today.`; a text without marks is a hard negative. `~~` inside a
mark is dropped: it keeps made-up keys from looking like real ones to scanners of the repository. Recall counts a mark
as found only if spans of its class cover it whole; precision counts a span as right if it touches a mark of its
class.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from tasks.core.privacy.spans import Span

MARK = re.compile(r"\[\[([A-Z][A-Z0-9_]*):(.*?)\]\]", re.DOTALL)


@dataclass(frozen=True)
class LabelledText:
    text: str
    spans: tuple[Span, ...]


class Quality(BaseModel):
    """How well one class is found; None where nothing can be said."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    marked: int
    found: int
    claimed: int
    right: int
    recall: float | None
    precision: float | None


def parse(marked: str) -> LabelledText:
    """Return the text without its marks, and the spans the marks named."""
    pieces, spans, position, length = [], [], 0, 0
    for match in MARK.finditer(marked):
        value = match[2].replace("~~", "")
        pieces += [marked[position : match.start()], value]
        length += match.start() - position
        spans.append(Span(length, length + len(value), match[1]))
        length += len(value)
        position = match.end()
    return LabelledText("".join([*pieces, marked[position:]]), tuple(spans))


def measure(cases: Sequence[LabelledText], find: Callable[[int, str], Sequence[Span]]) -> dict[str, Quality]:
    """Return the quality by class, classes in alphabetical order; `find` gets a case's index and text."""
    counts = {key: Counter[str]() for key in ("marked", "found", "claimed", "right")}
    for index, case in enumerate(cases):
        spans = find(index, case.text)
        counts["marked"].update(span.name for span in case.spans)
        counts["found"].update(span.name for span in case.spans if _covers(spans, span))
        counts["claimed"].update(span.name for span in spans)
        counts["right"].update(span.name for span in spans if any(_touch(span, mark) for mark in case.spans))
    classes = sorted({*counts["marked"], *counts["claimed"]})
    return {name: _quality({key: counter[name] for key, counter in counts.items()}) for name in classes}


def _quality(counts: dict[str, int]) -> Quality:
    return Quality(
        **counts,
        recall=round(counts["found"] / counts["marked"], 4) if counts["marked"] else None,
        precision=round(counts["right"] / counts["claimed"], 4) if counts["claimed"] else None,
    )


def _covers(spans: Iterable[Span], mark: Span) -> bool:
    covered = {place for span in spans if span.name == mark.name for place in range(span.start, span.end)}
    return covered.issuperset(range(mark.start, mark.end))


def _touch(span: Span, mark: Span) -> bool:
    return span.name == mark.name and span.start < mark.end and mark.start < span.end
