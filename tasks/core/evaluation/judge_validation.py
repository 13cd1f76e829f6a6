"""Validate an LLM judge: its balanced accuracy at telling faithful from unfaithful answers on labelled pairs. Pure.

Balanced accuracy is the mean of the two hit rates, so that a judge who always says the same has 0.5 (as in the
benchmarks LLM-AggreFact and HHEM). A pair that it failed to judge counts as wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass

MIN_ANSWERED = 0.95  # share of the pairs; a judge that fails more often cannot be relied on


@dataclass(frozen=True)
class LabelledPair:
    """An answer to a question about a context, and whether the context supports it."""

    id: str
    context: str
    question: str
    answer: str
    faithful: bool
    type: str
    """How it was made: extractive, paraphrase, or what is wrong with it."""


@dataclass(frozen=True)
class Admission:
    """Whether the judge passed the validation; `balanced_accuracy` is None where there was none."""

    admitted: bool
    balanced_accuracy: float | None
    reason: str


NOT_TRIED = Admission(False, None, "no judge is configured (RATCHET_JUDGE_BASE_URL)")


def balanced_accuracy(labels: Sequence[bool], verdicts: Sequence[bool | None]) -> float:
    """Return the mean of the recalls of the two labels.

    Raises ValueError where one of the two does not occur.
    """
    hits: dict[bool, list[bool]] = {True: [], False: []}
    for label, verdict in zip(labels, verdicts, strict=True):
        hits[label].append(verdict is label)
    if not hits[True] or not hits[False]:
        raise ValueError("both faithful and unfaithful pairs are needed")
    return sum(sum(found) / len(found) for found in hits.values()) / 2


def admit(pairs: Sequence[LabelledPair], verdicts: Sequence[bool | None], min_accuracy: float) -> Admission:
    """Return whether the judge's verdicts on the pairs (None: it failed) are good enough to rely on."""
    accuracy = round(balanced_accuracy([pair.faithful for pair in pairs], verdicts), 6)
    answered = sum(verdict is not None for verdict in verdicts)
    if answered < MIN_ANSWERED * len(pairs):
        return Admission(False, accuracy, f"it judged only {answered} of {len(pairs)} labelled pairs")
    if accuracy < min_accuracy:
        return Admission(False, accuracy, f"its balanced accuracy of {accuracy:.2f} is below {min_accuracy:.2f}")
    return Admission(True, accuracy, f"it judged {answered} of {len(pairs)} labelled pairs")
