"""The gateway's ASGI application (Starlette): OpenAI's chat API, health probes and metrics.

A client that goes away cancels its answer, in the queue and in the engine. The status is sent with the first text, so
that an error before it has a status of its own; a later one is an event in the stream.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as AsgiMessage

from tasks.adapters.inference.stream_engine import FinishReason
from tasks.serving.access.keys import Key
from tasks.serving.api.openapi import document
from tasks.serving.api.responses import error_headers, error_response, failure, internal_error, read_body
from tasks.serving.api.route_group import RouteGroup
from tasks.serving.gateway.answering import PartialAnswer
from tasks.serving.gateway.gateway import Exchange, Gateway
from tasks.serving.gateway.metrics import CONTENT_TYPE
from tasks.serving.gateway.router import ANY
from tasks.serving.protocol.api_error import ApiError
from tasks.serving.protocol.openai_schema import (
    ChatCompletion,
    ChatRequest,
    Choice,
    Message,
    Model,
    ModelList,
    Usage,
    parse_chat,
)

GONE = 499  # nginx's status for a client that closed the connection; it is counted, never sent
DONE = b"data: [DONE]\n\n"
STREAM_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store"}


def build_app(gateway: Gateway, groups: Sequence[RouteGroup] = ()) -> Starlette:
    """Return the ASGI application; `groups` are its routes beyond OpenAI's, the probes and the metrics."""
    handlers = Handlers(gateway, groups)
    return Starlette(
        routes=[
            Route("/v1/chat/completions", Chat(gateway), methods=["POST"]),
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
    """The routes other than chat, a method for each."""

    def __init__(self, gateway: Gateway, groups: Sequence[RouteGroup]) -> None:
        self._gateway, self._groups = gateway, groups

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
        is_ready, queue = self._gateway.is_ready, self._gateway.queue
        facts = {"status": "ready" if is_ready else "not ready", "models": models}
        return _json({**facts, "running": queue.running, "waiting": queue.waiting}, 200 if is_ready else 503)

    async def metrics(self, request: Request) -> Response:
        self._gateway.authenticate(request.headers.get("authorization"), needs_admin=True)
        return Response(self._gateway.metrics.text(), headers={"content-type": CONTENT_TYPE})

    async def rollout(self, request: Request) -> Response:
        self._gateway.authenticate(request.headers.get("authorization"), needs_admin=True)
        return _json(self._gateway.rollout_state())

    async def openapi(self, _: Request) -> Response:
        return _json(document([model.id for model in self._models()], self._groups))

    def _models(self) -> list[Model]:
        names = [ANY, *(arm.model.name for arm in self._gateway.router.arms())]
        return [Model(id=name, created=self._gateway.started_at) for name in names]


class Chat:
    """The chat route. An ASGI application, since what Starlette wraps around a function costs time for each chunk."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reply = await self._reply(Request(scope, receive))
        await reply(scope, receive, send)

    async def _reply(self, request: Request) -> ASGIApp:
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


class Chunks:
    """Makes the events of one streamed answer; the fields that all of them share are prepared once."""

    def __init__(self, exchange: Exchange) -> None:
        name = exchange.model_name
        self._shared = {"id": exchange.answer_id, "object": "chat.completion.chunk", "created": exchange.created}
        self._shared |= {"model": name, "system_fingerprint": name}

    def choice(self, delta: Mapping[str, Any], reason: str | None = None) -> bytes:
        """Return the event for a part of the answer."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return _event({**self._shared, "choices": [choice]})

    def usage(self, usage: Usage | None) -> bytes:
        """Return the event with the token counts."""
        return _event({**self._shared, "choices": [], "usage": usage and usage.model_dump()})


class ChatReply:
    """The answer to a chat request as an ASGI response, streamed or whole."""

    def __init__(self, gateway: Gateway, key: Key, request: ChatRequest) -> None:
        self._gateway, self._key, self._request = gateway, key, request
        self._has_begun = False

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        work = asyncio.current_task()
        assert work is not None
        gone = asyncio.create_task(_disconnected(receive, work.cancel))
        try:
            await self._work(send)
        except asyncio.CancelledError:
            if not gone.done() or work.uncancel():
                raise  # cancelled by somebody else
        finally:
            gone.cancel()

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

        answer = await self._gateway.answer(exchange, ignore)
        message = Message(content=answer.text, citations=answer.cited, abstained=bool(answer.abstained))
        completion = ChatCompletion(
            id=exchange.answer_id,
            created=exchange.created,
            model=exchange.model_name,
            system_fingerprint=exchange.model_name,
            choices=[Choice(message=message, finish_reason=_reason(answer))],
            usage=_usage(answer),
        )
        await _send_json(send, 200, completion.model_dump(), {"x-request-id": exchange.answer_id})

    async def _stream(self, exchange: Exchange, send: Send) -> None:
        chunks = Chunks(exchange)

        async def emit(text: str) -> None:
            said = chunks.choice({"content": text})
            await send(_body(said if self._has_begun else await self._begin(exchange, chunks, send) + said))

        answer = await self._gateway.answer(exchange, emit)
        end = [b"" if self._has_begun else await self._begin(exchange, chunks, send)]
        delta = {"citations": [c.model_dump() for c in answer.cited], "abstained": bool(answer.abstained)}
        end.append(chunks.choice(delta, _reason(answer)))
        options = self._request.stream_options
        if options is not None and options.include_usage:
            end.append(chunks.usage(_usage(answer)))
        await send(_body(b"".join([*end, DONE]), more=False))

    async def _begin(self, exchange: Exchange, chunks: Chunks, send: Send) -> bytes:
        """Send the headers and return the first chunk, which goes out with the text that it was waited for."""
        self._has_begun = True
        await send(_start(200, {**STREAM_HEADERS, "x-request-id": exchange.answer_id}))
        return chunks.choice({"role": "assistant", "content": ""})

    async def _refuse(self, error: ApiError, send: Send) -> None:
        if not self._has_begun:
            await _send_json(send, error.status, error.body.model_dump(), error_headers(error))
            return
        await send(_body(_event(error.body.model_dump()), more=False))


async def _disconnected(receive: Receive, then: Callable[[], object]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    then()


def _reason(answer: PartialAnswer) -> FinishReason:
    return "length" if answer.finish_reason == "length" else "stop"


def _usage(answer: PartialAnswer) -> Usage | None:
    prompt, completion = answer.prompt_tokens, answer.completion_tokens
    if prompt is None or completion is None:
        return None
    return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


def _event(value: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def _body(body: bytes, *, more: bool = True) -> AsgiMessage:
    return {"type": "http.response.body", "body": body, "more_body": more}


def _start(status: int, headers: Mapping[str, str]) -> AsgiMessage:
    pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": pairs}


async def _send_json(send: Send, status: int, value: Mapping[str, Any], headers: Mapping[str, str]) -> None:
    body = orjson.dumps(value)
    await send(_start(status, {"content-type": "application/json", "content-length": str(len(body)), **headers}))
    await send(_body(body, more=False))


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
