"""The gateway over HTTP (Starlette): OpenAI's chat API, the probes and the metrics.

A client that goes away cancels its answer, in the line and in the engine. The status is sent with the first text, so
that whatever goes wrong before has a status of its own; what goes wrong later is an event in the stream.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message as AsgiMessage
from starlette.types import Receive, Scope, Send

from tasks.serving.answering import Draft
from tasks.serving.api_error import ApiError
from tasks.serving.gateway import Exchange, Gateway
from tasks.serving.keys import Key
from tasks.serving.metrics import CONTENT_TYPE
from tasks.serving.openapi import document
from tasks.serving.replies import error_headers, error_response, failure, internal_error, read_body
from tasks.serving.route_group import RouteGroup
from tasks.serving.router import ANY
from tasks.serving.wire import ChatCompletion, ChatRequest, Choice, Message, Model, ModelList, Usage, parse_chat

GONE = 499  # nginx's status for a client that closed the connection; it is counted, never sent
STREAM_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store"}


def build_app(gateway: Gateway, groups: Sequence[RouteGroup] = ()) -> Starlette:
    """Return the ASGI application; `groups` are its routes beyond OpenAI's, the probes and the metrics."""
    handlers = Handlers(gateway, groups)
    return Starlette(
        routes=[
            Route("/v1/chat/completions", handlers.chat, methods=["POST"]),
            Route("/v1/models", handlers.models),
            Route("/v1/models/{name}", handlers.model),
            Route("/healthz", handlers.health),
            Route("/readyz", handlers.readiness),
            Route("/metrics", handlers.metrics),
            Route("/admin/rollout", handlers.rollout),
            Route("/openapi.json", handlers.openapi),
            *(route for group in groups for route in group.routes),
        ],
        exception_handlers={ApiError: _refused, HTTPException: _unrouted, Exception: _broken},
    )


class Handlers:
    """One method a path."""

    def __init__(self, gateway: Gateway, groups: Sequence[RouteGroup]) -> None:
        self._gateway, self._groups = gateway, groups

    async def chat(self, request: Request) -> Any:
        gateway = self._gateway
        try:
            key = gateway.authenticate(request.headers.get("authorization"))
            gateway.budgets.admit(key)
            asked = parse_chat(await read_body(request, gateway.config.request_bytes))
        except ApiError as error:
            gateway.count(None, error.status)
            return error_response(error)
        except ClientDisconnect:
            gateway.count(None, GONE)
            return Response(status_code=400)  # nobody reads it
        return ChatReply(gateway, key, asked)

    async def models(self, request: Request) -> Response:
        self._gateway.authenticate(request.headers.get("authorization"))
        return _json(ModelList(data=self._models()).model_dump())

    async def model(self, request: Request) -> Response:
        self._gateway.authenticate(request.headers.get("authorization"))
        for model in self._models():
            if model.id == request.path_params["name"]:
                return _json(model.model_dump())
        raise ApiError(404, "There is no model of that name.", "not_found_error", "model_not_found", "model")

    async def health(self, _: Request) -> Response:
        return _json({"status": "ok"})

    async def readiness(self, _: Request) -> Response:
        models = [arm.model.name for arm in self._gateway.router.arms()]
        is_ready, line = self._gateway.is_ready, self._gateway.line
        facts = {"status": "ready" if is_ready else "not ready", "models": models}
        return _json({**facts, "running": line.running, "waiting": line.waiting}, 200 if is_ready else 503)

    async def metrics(self, request: Request) -> Response:
        self._gateway.authenticate(request.headers.get("authorization"), needs_admin=True)
        return Response(self._gateway.metrics.text(), headers={"content-type": CONTENT_TYPE})

    async def rollout(self, request: Request) -> Response:
        self._gateway.authenticate(request.headers.get("authorization"), needs_admin=True)
        return _json(self._gateway.rollout())

    async def openapi(self, _: Request) -> Response:
        return _json(document([model.id for model in self._models()], self._groups))

    def _models(self) -> list[Model]:
        names = [ANY, *(arm.model.name for arm in self._gateway.router.arms())]
        return [Model(id=name, created=self._gateway.started_at) for name in names]


class ChatReply:
    """The answer to a chat request as an ASGI response, streamed or whole."""

    def __init__(self, gateway: Gateway, key: Key, request: ChatRequest) -> None:
        self._gateway, self._key, self._request = gateway, key, request
        self._has_begun = False

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        work = asyncio.create_task(self._work(send))
        gone = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            work.cancel()  # does nothing where it is done
            with contextlib.suppress(asyncio.CancelledError):
                await work

    async def _work(self, send: Send) -> None:
        exchange: Exchange | None = None
        status = 500
        try:
            exchange = self._gateway.exchange(self._key, self._request)
            await (self._stream(exchange, send) if self._request.stream else self._whole(exchange, send))
            status = 200
        except ApiError as error:
            status = error.status
            await self._refuse(error, send)
        except asyncio.CancelledError:
            status = GONE
            raise
        except Exception as error:
            await self._refuse(failure("an answer", error), send)
        finally:
            self._gateway.count(exchange, status)

    async def _whole(self, exchange: Exchange, send: Send) -> None:
        async def ignore(_: str) -> None:
            """The client waits for all of it."""

        draft = await self._gateway.answer(exchange, ignore)
        message = Message(content=draft.text, citations=draft.cited, abstained=bool(draft.abstained))
        completion = ChatCompletion(
            id=exchange.answer_id,
            created=exchange.created,
            model=exchange.model_name,
            system_fingerprint=exchange.model_name,
            choices=[Choice(message=message, finish_reason=_reason(draft))],
            usage=_usage(draft),
        )
        await _send_json(send, 200, completion.model_dump(), {"x-request-id": exchange.answer_id})

    async def _stream(self, exchange: Exchange, send: Send) -> None:
        async def emit(text: str) -> None:
            await self._begin(exchange, send)
            await send(_event(_chunk(exchange, {"content": text})))

        draft = await self._gateway.answer(exchange, emit)
        await self._begin(exchange, send)
        delta = {"citations": [c.model_dump() for c in draft.cited], "abstained": bool(draft.abstained)}
        await send(_event(_chunk(exchange, delta, _reason(draft))))
        options = self._request.stream_options
        if options is not None and options.include_usage:
            usage = _usage(draft)
            await send(_event({**_chunk(exchange, {}), "choices": [], "usage": usage and usage.model_dump()}))
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})

    async def _begin(self, exchange: Exchange, send: Send) -> None:
        if self._has_begun:
            return
        self._has_begun = True
        await send(_start(200, {**STREAM_HEADERS, "x-request-id": exchange.answer_id}))
        await send(_event(_chunk(exchange, {"role": "assistant", "content": ""})))

    async def _refuse(self, error: ApiError, send: Send) -> None:
        if not self._has_begun:
            await _send_json(send, error.status, error.body.model_dump(), error_headers(error))
            return
        await send(_event(error.body.model_dump()))
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _chunk(exchange: Exchange, delta: Mapping[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {
        "id": exchange.answer_id,
        "object": "chat.completion.chunk",
        "created": exchange.created,
        "model": exchange.model_name,
        "system_fingerprint": exchange.model_name,
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}],
    }


def _reason(draft: Draft) -> Any:
    return "length" if draft.finish_reason == "length" else "stop"


def _usage(draft: Draft) -> Usage | None:
    prompt, completion = draft.prompt_tokens, draft.completion_tokens
    if prompt is None or completion is None:
        return None
    return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


def _event(value: Mapping[str, Any]) -> AsgiMessage:
    return {"type": "http.response.body", "body": b"data: " + orjson.dumps(value) + b"\n\n", "more_body": True}


def _start(status: int, headers: Mapping[str, str]) -> AsgiMessage:
    pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": pairs}


async def _send_json(send: Send, status: int, value: Mapping[str, Any], headers: Mapping[str, str]) -> None:
    body = orjson.dumps(value)
    await send(_start(status, {"content-type": "application/json", "content-length": str(len(body)), **headers}))
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _json(value: Mapping[str, Any], status: int = 200) -> Response:
    return JSONResponse(value, status)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error_response(error)


async def _unrouted(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = {404: "There is nothing at this address.", 405: "This address takes another method."}
    kind = "not_found_error" if error.status_code == 404 else "invalid_request_error"
    message = said.get(error.status_code, error.detail)
    return error_response(ApiError(error.status_code, message, kind, headers=dict(error.headers or {})))  # type: ignore[arg-type]


async def _broken(_: Request, __: Exception) -> Response:
    return error_response(internal_error())
