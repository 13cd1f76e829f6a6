"""The route `POST /v1/feedback`: accept a verdict on an answer, limited for each key, and store it for review.

A few threads look the answers up and write: an id without its hour is looked for in a week's files.
"""

import asyncio
from datetime import UTC, datetime
from typing import Any

import orjson
from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tasks.adapters.records.feedback_store import FeedbackStore
from tasks.core.errors import ExternalError
from tasks.core.feedback.rules import MAX_ID, FeedbackLimits, FeedbackRefusedError, read_opinion
from tasks.core.records.schema import Feedback
from tasks.serving.access.usage_limits import seconds_to_midnight
from tasks.serving.api.openapi import errors, schema
from tasks.serving.api.responses import failure, read_body
from tasks.serving.api.route_group import RouteGroup
from tasks.serving.gateway.gateway import Gateway
from tasks.serving.protocol.api_error import ApiError

AT_ONCE = 4
STATUS = {"invalid_request_error": 400, "not_found_error": 404, "rate_limit_error": 429}


class FeedbackKept(BaseModel):
    """What became of a verdict; its texts are kept redacted."""

    answer_id: str
    model: str
    """The version that gave the answer."""
    review: str
    recorded_at: str


def feedback_routes(gateway: Gateway, feedback_store: FeedbackStore) -> RouteGroup:
    """Return the route."""
    handler = FeedbackHandler(gateway, feedback_store)
    return RouteGroup(
        routes=[Route("/v1/feedback", handler.post, methods=["POST"])],
        paths={"/v1/feedback": {"post": _operation(FeedbackLimits())}},
        models=[FeedbackKept],
    )


class FeedbackHandler:
    """Handles the route."""

    def __init__(self, gateway: Gateway, feedback_store: FeedbackStore) -> None:
        self._gateway, self._feedback_store = gateway, feedback_store
        self._places = asyncio.Semaphore(AT_ONCE)

    async def post(self, request: Request) -> Response:
        """Keep a verdict. Raises ApiError."""
        gateway = self._gateway
        key = gateway.authenticate(request.headers.get("authorization"))
        gateway.budgets.admit_request(key)
        try:
            said = orjson.loads(await read_body(request, gateway.config.request_bytes))
            opinion = read_opinion(said)
            async with self._places:
                kept: Feedback = await asyncio.to_thread(
                    self._feedback_store.accept, opinion, key.id, datetime.now(UTC)
                )
        except orjson.JSONDecodeError:
            raise ApiError(400, "The body is no valid JSON.", code="invalid_json") from None
        except FeedbackRefusedError as error:
            raise refusal(error) from None
        except (ExternalError, OSError):
            raise ApiError(
                503, "Feedback cannot be kept now: send it again.", "server_error", "store_lost", retry_after_s=30
            ) from None
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except ApiError:
            raise
        except Exception as error:
            raise failure("feedback", error) from None
        return JSONResponse(FeedbackKept(**kept.model_dump(include=set(FeedbackKept.model_fields))).model_dump(), 201)


def refusal(error: FeedbackRefusedError) -> ApiError:
    """Return the refusal as the API words it."""
    codes = {"not_found_error": "answer_not_found", "rate_limit_error": "feedback_cap"}
    wait = seconds_to_midnight(datetime.now(UTC)) if error.kind == "rate_limit_error" else None
    return ApiError(STATUS[error.kind], str(error), error.kind, codes.get(error.kind), retry_after_s=wait)


def opinion_schema(limits: FeedbackLimits) -> dict[str, Any]:
    """Return the schema of a verdict, with all that `check_opinion` asks for."""
    words = {"type": "string", "pattern": r"\S"}
    correction = {**words, "maxLength": limits.correction_chars}
    says = [
        {"required": ["thumb"], "properties": {"thumb": {"enum": ["up", "down"]}}},
        {"required": ["correction"], "properties": {"correction": words}},
        {"required": ["reason"], "properties": {"reason": words}},
    ]
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["answer_id"],
        "anyOf": says,
        "properties": {
            "answer_id": {"type": "string", "minLength": 1, "maxLength": MAX_ID},
            "thumb": {"enum": ["up", "down", None]},
            "correction": {"anyOf": [correction, {"type": "null"}]},
            "reason": {"type": "string", "maxLength": limits.reason_chars},
        },
    }


def _operation(limits: FeedbackLimits) -> dict[str, Any]:
    body = {"required": True, "content": {"application/json": {"schema": opinion_schema(limits)}}}
    kept = {"description": "Kept; it waits for review.", "content": {"application/json": schema("FeedbackKept")}}
    return {
        "summary": "Say what an answer was worth.",
        "security": [{"key": []}],
        "requestBody": body,
        "responses": {"201": kept, **errors(400, 401, 404, 413, 429, 500, 503)},
    }
