"""When a drifted cluster deserves work, and which work."""

from pydantic import Field

from tasks.core.stage import StageConfig


class TriageConfig(StageConfig):
    """When a cluster deserves work, and which."""

    neighbours: int = Field(default=20, ge=5)
    """Nearest rows that are asked whether they are new."""
    false_rows: float = Field(default=0.05, gt=0, lt=0.5)
    """Share of the rows found new that may be usual ones."""
    min_cluster: int = Field(default=10, ge=3)
    """Fewest rows of a cluster."""
    min_share: float = Field(default=0.01, ge=0, le=1)
    """Share of the window below which a cluster is not worth work."""
    margin: float = Field(default=0.05, gt=0, lt=1)
    """Loss of quality against the rest of the window that is accepted."""
    retrieval_loss: float = Field(default=0.05, gt=0, lt=1)
    """Loss in retrieval score that means documents are missing."""
    missing_terms: float = Field(default=0.4, gt=0, le=1)
    """Share of a cluster's naming terms without a document that means documents are missing."""
    abstention_rise: float = Field(default=0.1, gt=0, lt=1)
    """Rise in the share of declined answers that means the model declines what it could answer."""
    min_lessons: int = Field(default=30, ge=1)
    """Rows with measured quality from which a retraining may learn; fewer must be labelled first."""
    confidence: float = Field(default=0.95, ge=0.8, lt=1)
    """Of the intervals."""
