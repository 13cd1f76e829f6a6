"""The pages' part of the gateway's OpenAPI document."""

from typing import Any, get_args

from tasks.core.feedback.review_queue import Label
from tasks.core.feedback.rules import FeedbackLimits
from tasks.serving.api.openapi import errors

SECURITY: list[dict[str, list[str]]] = [{"key": []}, {"session": []}]
TEXT: dict[str, Any] = {"type": "string"}
FORM = "application/x-www-form-urlencoded"


def paths() -> dict[str, Any]:
    """Return the operations by path."""
    return {
        "/": {"get": _page("Dashboard.", 401, 403)},
        "/review": {
            "get": _page("The answers most worth a label.", 401, 403, 503),
            "post": _post("Keep a reviewer's label.", _label(), 400, 401, 403, 404, 413, 503),
        },
        "/evidence/verdicts/{number}/{name}": {
            "parameters": [_in_path("number", {"type": "integer", "minimum": 1}), _in_path("name", TEXT)],
            "get": _page("A release note or model card.", 400, 401, 403, 404, 503),
        },
        "/evidence/drift/{name}": {
            "parameters": [_in_path("name", TEXT)],
            "get": _page("A file of the last monitor run.", 401, 403, 404),
        },
        "/evidence/metrics": {"get": _page("Figures, as /metrics has them.", 401, 403)},
        "/sign-in": {"post": {**_post("Open a browser's session.", _key(), 400, 401, 403, 413), "security": []}},
        "/sign-out": {"post": _post("End a browser's session.", _object({"token": TEXT}), 400, 401, 403, 413)},
    }


def _label() -> dict[str, Any]:
    limits = FeedbackLimits()
    fields = {
        "token": TEXT,
        "answer_id": {"type": "string", "minLength": 1},
        "label": {"enum": list(get_args(Label))},
        "text": {"type": "string", "maxLength": limits.correction_chars},
        "reason": {"type": "string", "maxLength": limits.reason_chars},
    }
    return _object(fields, "answer_id", "label")


def _key() -> dict[str, Any]:
    return _object({"key": TEXT, "next": TEXT}, "key")


def _object(fields: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": fields, **({"required": list(required)} if required else {})}


def _in_path(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _page(summary: str, *statuses: int) -> dict[str, Any]:
    kinds = ("text/html", "text/plain", "application/json")
    shown = {"description": summary, "content": {kind: {} for kind in kinds}}
    return {"summary": summary, "security": SECURITY, "responses": {"200": shown, **_for_both(*statuses)}}


def _post(summary: str, form: dict[str, Any], *statuses: int) -> dict[str, Any]:
    done = {"303": {"description": "Done; the page to go on with.", "headers": {"Location": {"schema": TEXT}}}}
    return {
        "summary": summary,
        "security": SECURITY,
        "requestBody": {"required": True, "content": {FORM: {"schema": form}}},
        "responses": {**done, **_for_both(*statuses)},
    }


def _for_both(*statuses: int) -> dict[str, Any]:
    """Return refusals: a page where the client takes HTML, else OpenAI's body."""
    return {
        status: {**response, "content": {**response["content"], "text/html": {}}}
        for status, response in errors(*statuses).items()
    }
