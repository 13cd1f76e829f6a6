"""What every stage declares: the values that decide its result, and the counts it reports."""

from pydantic import BaseModel, ConfigDict


class StageConfig(BaseModel):
    """Parameters of a stage: class default, then its YAML, then a profile, then --set. Unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Report(BaseModel):
    """Counts and scores of one run of a stage, never times: the same input gives the same bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
