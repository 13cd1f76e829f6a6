"""The drift verdict on a window: the outcome, its reasons, and the finding of each test."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from tasks.core.monitoring.drift_config import Kind
from tasks.core.statistics.two_sample import Difference

Aspect = Literal["values", "missing"]
Outcome = Literal["NONE", "SUSPECTED", "CONFIRMED", "TOO_FEW_ROWS"]
State = Literal["steady", "suspected", "confirmed", "unmeasured"]


class ColumnFinding(BaseModel):
    """The result of one test of one column."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    aspect: Aspect
    kind: Kind
    state: State
    effect: float | None
    floor: float
    p: float | None
    values: tuple[int, int]
    """Number of compared values: reference, window."""
    sentence: str


class DriftVerdict(BaseModel):
    """The verdict on a window, given the verdicts on the windows before it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    outcome: Outcome
    headline: str
    reasons: list[str]
    """A sentence for each test that led to the outcome, with its numbers."""
    rows: tuple[int, int]
    """Number of compared rows: reference, window."""
    findings: list[ColumnFinding]

    @property
    def changed(self) -> set[tuple[str, Aspect]]:
        """Return the tests whose state is suspected or confirmed."""
        return {(found.column, found.aspect) for found in self.findings if found.state in ("suspected", "confirmed")}


@dataclass(frozen=True)
class ColumnTest:
    """A test of one column before correction for the other tests; `difference` is None where it could not be made."""

    column: str
    aspect: Aspect
    kind: Kind
    floor: float
    values: tuple[int, int]
    change: str
    difference: Difference | None
