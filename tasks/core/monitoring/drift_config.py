"""Which columns of the traffic are compared, how, and how often an alarm may be false."""

from typing import Literal

from pydantic import Field

from tasks.core.stage import StageConfig

Kind = Literal["number", "category", "embedding"]

# A Kolmogorov-Smirnov distance; a share of the rows; and half of the discrepancy that 10 % of rows on a new topic
# cause, as measured by tests/bench/drift.py.
FLOORS: dict[Kind, float] = {"number": 0.08, "category": 0.03, "embedding": 0.015}
MISSING_FLOOR = 0.05
COLUMNS: dict[str, Kind] = {
    "question_embedding": "embedding",
    "question_length": "number",
    "retrieval_score": "number",
    "answer_length": "number",
    "abstained": "category",
    "ungrounded": "category",
    "quality": "category",
    "latency_s": "number",
    "cost": "number",
}


class Column(StageConfig):
    """How a column of the records is compared."""

    kind: Kind
    floor: float | None = Field(default=None, ge=0, le=1)
    """Smallest effect that counts; None: the default of its kind (see FLOORS)."""

    @property
    def min_effect(self) -> float:
        return FLOORS[self.kind] if self.floor is None else self.floor


class DriftConfig(StageConfig):
    """Which columns are compared, and how often an alarm may be false."""

    columns: dict[str, Column] = Field(
        default_factory=lambda: {name: Column(kind=kind) for name, kind in COLUMNS.items()}, min_length=1
    )
    """Columns of the records, by name."""
    key: str | None = None
    """Column with the id of the user; one row of each counts. None: every row counts."""
    false_alarms: float = Field(default=0.02, gt=0, lt=0.5)
    """Share of windows of unchanged traffic that may be suspected, over all columns together."""
    confirmations: int = Field(default=1, ge=0)
    """Windows in a row, before this one, in which a column must have been suspected to be confirmed."""
    min_rows: int = Field(default=200, ge=20)
    """Minimum rows of the window and of the reference, and minimum values of a column."""
    max_vectors: int = Field(default=1000, ge=100)
    """Maximum rows of either side that are compared by embedding; time grows with their square."""
    missing_floor: float = Field(default=MISSING_FLOOR, ge=0, le=1)
    """Smallest change in a column's share of missing values that counts."""
    seed: int = 0
    """Seed of the sampled rows and permutations."""
