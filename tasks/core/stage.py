"""What every stage declares: the values that decide its result, and the counts it reports."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import PydanticCustomError


class StageConfig(BaseModel):
    """Parameters of a stage: class default, then its YAML, then a profile, then --set. Unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    RENAMED: ClassVar[dict[str, str]] = {}
    """Fields that had another name once, old to new. The old one is refused by a sentence that names the new one."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_old_names(cls, values: Any) -> Any:
        for old, new in cls.RENAMED.items():
            if isinstance(values, dict) and old in values:
                raise PydanticCustomError("renamed", "{old} is now called {new}: rename it", {"old": old, "new": new})
        return values


class Report(BaseModel):
    """Counts and scores of one run of a stage, never times: the same input gives the same bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def fault_of(error: ValidationError, config_class: type[StageConfig]) -> str:
    """Return what is wrong with the values, as the end of a sentence that begins with where they come from."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "renamed":
        return f"{f'field {field!r}: ' if field else ''}{first['msg']}"
    if first["type"] == "extra_forbidden":
        return f"has no field {field!r}; its fields are {', '.join(config_class.model_fields)}"
    return f"field {field!r} has the value {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}"
