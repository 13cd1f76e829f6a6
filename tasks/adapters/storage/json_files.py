"""The small JSON files that a stage leaves beside its data: its report, the prompt, the champion's name."""

import json
from pathlib import Path
from typing import Any

from tasks.core.errors import DataError


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a stage's file. Raises DataError for anything else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is missing or no JSON ({type(error).__name__}): run its stage again.") from None
    if not isinstance(value, dict):
        raise DataError(f"{path} holds a {type(value).__name__} instead of an object: run its stage again.")
    return value
