"""The thresholds of triage: what makes a cluster, and what makes a recommendation."""

from pydantic import Field

from tasks.core.stage import StageConfig


class TriageConfig(StageConfig):
    """Thresholds of the clusters and of the rules in `triage_advice`."""

    neighbours: int = Field(default=20, ge=5)
    """Nearest neighbours of a row that decide whether it is new."""
    false_rows: float = Field(default=0.05, gt=0, lt=0.5)
    """False discovery rate of the new rows."""
    min_cluster: int = Field(default=10, ge=3)
    """Minimum rows of a cluster."""
    min_share: float = Field(default=0.01, ge=0, le=1)
    """Share of the window below which a cluster is ignored."""
    margin: float = Field(default=0.05, gt=0, lt=1)
    """Accepted loss of quality against the rest of the window."""
    retrieval_loss: float = Field(default=0.05, gt=0, lt=1)
    """Loss in retrieval score that means documents are missing."""
    missing_terms: float = Field(default=0.4, gt=0, le=1)
    """Share of a cluster's naming terms without a document that means documents are missing."""
    abstention_rise: float = Field(default=0.1, gt=0, lt=1)
    """Rise in the share of declined answers that means the model declines what it could answer."""
    min_lessons: int = Field(default=30, ge=1)
    """Minimum rows with measured quality for a retrain; with fewer, rows are labelled first."""
    confidence: float = Field(default=0.95, ge=0.8, lt=1)
    """Confidence level of the intervals."""
