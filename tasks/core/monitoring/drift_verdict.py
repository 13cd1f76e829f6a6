"""What a window of traffic says about drift: the outcome, its reasons, and a finding for each test."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from tasks.core.monitoring.drift_config import Kind
from tasks.core.statistics.two_sample import Difference

Aspect = Literal["values", "missing"]


Outcome = Literal["NONE", "SUSPECTED", "CONFIRMED", "TOO_FEW_ROWS"]


State = Literal["steady", "suspected", "confirmed", "unmeasured"]


class ColumnFinding(BaseModel):
    """What one test said of one column."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    aspect: Aspect
    kind: Kind
    state: State
    effect: float | None
    floor: float
    p: float | None
    values: tuple[int, int]
    """How many were compared: reference, window."""
    sentence: str


class DriftVerdict(BaseModel):
    """What a window says, on its own and after the windows before it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    outcome: Outcome
    headline: str
    reasons: list[str]
    """The tests that led to the outcome, in plain words with their numbers."""
    rows: tuple[int, int]
    """Rows that counted: reference, window."""
    findings: list[ColumnFinding]

    @property
    def changed(self) -> set[tuple[str, Aspect]]:
        """Return the tests that this window, or it and those before, found changed."""
        return {(found.column, found.aspect) for found in self.findings if found.state in ("suspected", "confirmed")}


@dataclass(frozen=True)
class ColumnTest:
    """A column's comparison before it is held against those of the other columns; None: it could not be made."""

    column: str
    aspect: Aspect
    kind: Kind
    floor: float
    values: tuple[int, int]
    change: str
    difference: Difference | None
