"""Golden questions: those a version answered rightly in its evaluation, which it must answer again before it serves.

They are drawn from the version's own evaluation, so that they need no upkeep and fit its index. Pure.
"""

import hashlib
from collections.abc import Iterable, Mapping

from tasks.core.release.lineage import Fact


class Golden(Fact):
    """A question, and a text that the answer must hold."""

    question: str
    holds: str


class GoldenFile(Fact):
    """The questions that are kept beside a version."""

    questions: list[Golden]


def draw_golden(rows: Iterable[Mapping[str, object]], most: int) -> list[Golden]:
    """Return questions whose known answer the version's answer held, one a document, the same ones for the same rows.

    None of them is unanswerable: a version that is silent must not pass.
    """
    drawn: dict[str, Golden] = {}
    for row in sorted(rows, key=lambda row: hashlib.sha256(str(row.get("item_id")).encode()).digest()):
        question, reference, answer = (row.get(name) for name in ("question", "reference", "answer"))
        if not (isinstance(question, str) and isinstance(reference, str) and isinstance(answer, str)):
            continue
        if row.get("status") == "ok" and row.get("answerable") is True and holds(answer, reference):
            drawn.setdefault(str(row.get("cluster")), Golden(question=question, holds=reference))
    return list(drawn.values())[:most]


def holds(answer: str, expected: str) -> bool:
    """Return whether the answer holds the expected text, case and spacing aside."""
    return bool(expected.strip()) and _plain(expected) in _plain(answer)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
