"""Errors in the format of OpenAI's API: a status and `{"error": {message, type, code, param}}`."""

from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel

ErrorType = Literal[
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "rate_limit_error",
    "insufficient_quota",
    "server_error",
]


class ErrorDetail(BaseModel):
    message: str
    type: ErrorType
    code: str | None = None
    param: str | None = None


class ErrorBody(BaseModel):
    """What a refusal's body holds."""

    error: ErrorDetail


@dataclass
class ApiError(Exception):
    """An error response for the client. `retry_after_s` says when another try makes sense."""

    status: int
    message: str
    type: ErrorType = "invalid_request_error"
    code: str | None = None
    param: str | None = None
    retry_after_s: int | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message

    @property
    def body(self) -> ErrorBody:
        return ErrorBody(error=ErrorDetail(message=self.message, type=self.type, code=self.code, param=self.param))
