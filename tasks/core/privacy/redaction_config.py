"""The values of redaction that the curation of data and the recording of answers share."""

import re

from pydantic import Field, field_validator

from tasks.core.stage import StageConfig


class RedactionConfig(StageConfig):
    """What counts as personal beyond the built-in classes."""

    extra_patterns: dict[str, str] = Field(default={})
    """Your own classes: an upper-case name and a Python regular expression, such as STAFF_ID: 'E-[0-9]{6}'."""

    @field_validator("extra_patterns")
    @classmethod
    def _compiles(cls, patterns: dict[str, str]) -> dict[str, str]:
        for name, pattern in patterns.items():
            if not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
                raise ValueError(f"class {name!r} is not an upper-case name")
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"pattern of {name} is no regular expression ({error})") from None
        return patterns
