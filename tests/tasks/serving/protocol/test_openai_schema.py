from typing import Any

import pytest

from tests.tasks.serving.api.conftest import CHAT


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": [{"role": "user", "content": "  "}]}, "messages", None),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages", None),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages.0.role", "invalid_value"),
        ({"temperature": 3}, "temperature", "invalid_value"),
        ({"temperature": "0"}, "temperature", "invalid_value"),
        ({"n": 2}, "n", "invalid_value"),
        ({"tools": []}, "tools", "unsupported_parameter"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"max_tokens": True}, "max_tokens", "invalid_value"),
        ({"max_tokens": 1.5}, "max_tokens", "invalid_value"),
        ({"seed": -1}, "seed", "invalid_value"),
    ],
)
def test_a_wrong_body_is_refused_with_the_field_at_fault_and_no_value(
    start: Any, change: dict[str, Any], param: str, code: str | None
) -> None:
    live = start()
    reply = live.post({**CHAT, **change})
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert (error["param"], error["code"], error["type"]) == (param, code, "invalid_request_error")
    assert "wizard" not in error["message"]
    assert not live.engine.requests


@pytest.mark.parametrize("body", ["", "{", "[]", "\x00", '{"model": "\\ud800"}', "NaN", "[" * 5000])
def test_a_body_that_is_no_object_is_refused(start: Any, body: str) -> None:
    reply = start().post(body)
    assert reply.status_code == 400
    assert reply.json()["error"]["message"]
