"""The gateway's OpenAPI document, generated from the request and response classes."""

from collections.abc import Sequence
from importlib import metadata
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from tasks.serving.access.sessions import COOKIE
from tasks.serving.api.route_group import RouteGroup
from tasks.serving.protocol.api_error import ErrorBody
from tasks.serving.protocol.openai_schema import ChatCompletion, ChatRequest, Model, ModelList

REASONS = {
    400: "The request is refused; the body says which field is at fault.",
    401: "The API key is missing or unknown.",
    403: "The key's role does not allow it.",
    404: "There is nothing of that name.",
    413: "The body is too large.",
    429: "The line is full or the key's budget is used up; Retry-After says when to come again.",
    500: "The gateway failed.",
    503: "The gateway is being stopped or has lost its engine.",
    504: "No answer within the time limit.",
}
SESSION = {"type": "apiKey", "in": "cookie", "name": COOKIE}
EVENT = {  # of the stream
    "type": "object",
    "required": ["data"],
    "properties": {"data": {"type": "string", "description": "A chat.completion.chunk as JSON, an error, or [DONE]."}},
}


def document(models: Sequence[str], groups: Sequence[RouteGroup] = ()) -> dict[str, Any]:
    """Return the document, OpenAPI 3.1, for a gateway that serves `models` and has the routes of `groups`."""
    used: list[type[BaseModel]] = [ChatRequest, ChatCompletion, Model, ModelList, ErrorBody]
    used += [model for group in groups for model in group.models]
    _, schemas = models_json_schema([(m, "validation") for m in used], ref_template="#/components/schemas/{model}")
    schemas["$defs"]["ChatRequest"]["properties"]["model"] = {"type": "string", "enum": list(models)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Ratchet gateway", "version": metadata.version("ratchet-llm")},
        "paths": {
            "/v1/chat/completions": {"post": _chat()},
            "/v1/models": {"get": _read("List what answers.", "ModelList", 401)},
            "/v1/models/{name}": {
                "parameters": [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}],
                "get": _read("Show one model.", "Model", 401, 404),
            },
            "/healthz": {"get": _open("Whether the process lives.", 200)},
            "/readyz": {"get": _open("Whether a question could be answered now.", 200, 503)},
            "/metrics": {"get": _metrics()},
            "/admin/rollout": {"get": _admin("How versions come to serve: champion, rollout, evidence.")},
            **{path: operations for group in groups for path, operations in group.paths.items()},
        },
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}, "session": SESSION},
        },
    }


def _chat() -> dict[str, Any]:
    body = {"required": True, "content": _content("ChatRequest")}
    answer = {"application/json": schema("ChatCompletion"), "text/event-stream": {"schema": EVENT}}
    responses = {
        "200": {"description": "The answer.", "content": answer},
        **errors(400, 401, 404, 413, 429, 500, 503, 504),
    }
    return {"summary": "Answer a question.", "security": [{"key": []}], "requestBody": body, "responses": responses}


def _read(summary: str, model: str, *statuses: int) -> dict[str, Any]:
    found = {"200": {"description": "Found.", "content": _content(model)}}
    return {"summary": summary, "security": [{"key": []}], "responses": {**found, **errors(*statuses)}}


def _open(summary: str, *statuses: int) -> dict[str, Any]:
    content = {"application/json": {"schema": {"type": "object", "required": ["status"]}}}
    return {"summary": summary, "responses": {str(s): {"description": summary, "content": content} for s in statuses}}


def _metrics() -> dict[str, Any]:
    figures = {"200": {"description": "Prometheus' format.", "content": {"text/plain": {"schema": {"type": "string"}}}}}
    return {"summary": "Figures.", "security": [{"key": []}], "responses": {**figures, **errors(401, 403)}}


def _admin(summary: str) -> dict[str, Any]:
    found = {"200": {"description": summary, "content": {"application/json": {"schema": {"type": "object"}}}}}
    return {"summary": summary, "security": [{"key": []}], "responses": {**found, **errors(401, 403)}}


def errors(*statuses: int) -> dict[str, Any]:
    """Return the responses of these statuses."""
    return {str(s): {"description": REASONS[s], "content": _content("ErrorBody")} for s in statuses}


def _content(model: str) -> dict[str, Any]:
    return {"application/json": schema(model)}


def schema(model: str) -> dict[str, Any]:
    """Return a reference to a model of the document."""
    return {"schema": {"$ref": f"#/components/schemas/{model}"}}
