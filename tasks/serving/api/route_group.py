"""Routes that extend the gateway, with their part of its OpenAPI document."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from starlette.routing import Route


@dataclass(frozen=True)
class RouteGroup:
    """Routes that belong together."""

    routes: Sequence[Route]
    paths: Mapping[str, Any]
    """Of the OpenAPI document."""
    models: Sequence[type[BaseModel]] = ()
    """Whose schemas the paths refer to."""
