"""Answers streamed from an OpenAI-compatible server such as vLLM (httpx).

The upstream applies its own chat template to the messages. With vLLM, a model version's LoRA adapter is loaded when the
engine starts and unloaded when it closes (`--enable-lora`, VLLM_ALLOW_RUNTIME_LORA_UPDATING=1); the adapter's folder
must lie where the upstream can read it. A connection that the upstream had closed while it was idle shows itself only
when it is used: a request that broke before its first byte is sent once more, on a new one.
Caveat: an upstream does not say what an answer cost its processors, so `cpu_s` stays unknown.
"""

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.adapters.inference.stream_engine import EngineLostError, GenerationRequest, PromptRefusedError, StreamChunk
from tasks.core.errors import ConfigError

if TYPE_CHECKING:
    from httpx import AsyncClient, Response

logger = logging.getLogger(__name__)

CONNECT_S = 5.0
SILENCE_S = 120.0  # between two chunks; the gateway's own limit for a request is usually shorter
CONNECTIONS = 512
TOO_LONG = (400, 413, 422)


@dataclass(frozen=True)
class Upstream:
    """Where the server is, and which of its models answers: with an adapter, that one, loaded under `model`."""

    base_url: str
    model: str
    api_key: str | None = None
    adapter: Path | None = None


class UpstreamEngine:
    """Asks an upstream for every answer."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._client = _client(upstream)
        self._is_up = False

    @property
    def name(self) -> str:
        return "upstream"

    @property
    def is_ready(self) -> bool:
        """Whether the upstream answered when it was last asked."""
        return self._is_up

    async def start(self) -> None:
        """Load the adapter, and see that the model is there. Raises ConfigError where it is not."""
        if self._upstream.adapter is not None:
            orders = {"lora_name": self._upstream.model, "lora_path": str(self._upstream.adapter.resolve())}
            await self._manage("load_lora_adapter", orders, accepted="already")
        names = [model.get("id") for model in (await self._get("models")).get("data", [])]
        if self._upstream.model not in names:
            known = ", ".join(sorted(map(str, names))) or "none"
            raise ConfigError(
                f"The upstream {self._upstream.base_url} has no model {self._upstream.model!r} but {known}: "
                "correct RATCHET_UPSTREAM_MODEL."
            )
        self._is_up = True

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[StreamChunk, None]:
        """Yield the answer in chunks; closing the generator closes the connection, which ends the work upstream."""
        import httpx

        body = _body(self._upstream.model, request)
        for is_last in (False, True):
            has_begun = False
            try:
                async with self._client.stream("POST", "chat/completions", json=body) as response:
                    has_begun = True
                    await self._check(response)
                    self._is_up = True
                    async with aclosing(_chunks(response)) as chunks:
                        async for chunk in chunks:
                            yield chunk
                    return
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
                if has_begun or is_last:
                    raise self._lost(error) from None
            except httpx.HTTPError as error:
                raise self._lost(error) from None

    async def close(self) -> None:
        """Unload the adapter, as far as the upstream can be reached, and close the connections."""
        was_up, self._is_up = self._is_up, False
        if self._upstream.adapter is not None and was_up:
            try:
                await self._manage("unload_lora_adapter", {"lora_name": self._upstream.model}, accepted="not")
            except (EngineLostError, ConfigError) as error:
                logger.warning("the adapter stays loaded: %s", error)
        await self._client.aclose()

    async def _manage(self, path: str, orders: dict[str, str], accepted: str) -> None:
        """Give vLLM an order; a refusal that says `accepted` means that it was carried out before."""
        import httpx

        try:
            response = await self._client.post(path, json=orders)
        except httpx.HTTPError as error:
            raise self._lost(error) from None
        if response.status_code >= 400 and accepted not in response.text:
            raise ConfigError(
                f"The upstream {self._upstream.base_url} refuses {path} (status {response.status_code}): start vLLM "
                "with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=1, and let it see the adapter's folder."
            )

    async def _get(self, path: str) -> dict[str, Any]:
        import httpx

        try:
            response = await self._client.get(path)
            await self._check(response)
            return dict(response.json())
        except (httpx.HTTPError, ValueError) as error:
            raise self._lost(error) from None

    async def _check(self, response: "Response") -> None:
        if response.status_code < 400:
            return
        await response.aread()
        status = response.status_code
        if status in TOO_LONG:
            raise PromptRefusedError(
                f"The upstream refuses the question and its context (status {status}): shorten it."
            )
        raise EngineLostError(f"The upstream {self._upstream.base_url} answers with status {status}: try again.")

    def _lost(self, error: Exception) -> EngineLostError:
        self._is_up = False
        return EngineLostError(f"The upstream {self._upstream.base_url} was lost ({type(error).__name__}): try again.")


def _client(upstream: Upstream) -> "AsyncClient":
    import httpx

    return httpx.AsyncClient(
        base_url=upstream.base_url.rstrip("/") + "/",
        headers={"Authorization": f"Bearer {upstream.api_key}"} if upstream.api_key else {},
        timeout=httpx.Timeout(SILENCE_S, connect=CONNECT_S, pool=None),
        limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
        trust_env=False,  # no proxy: an upstream is usually on the local network
    )


def _body(model: str, request: GenerationRequest) -> dict[str, Any]:
    return {
        "model": model,
        "messages": [dict(message) for message in request.messages],
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        **({} if request.seed is None else {"seed": request.seed}),
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def _chunks(response: "Response") -> AsyncGenerator[StreamChunk, None]:
    """Yield the chunks; the last one waits for the counts, which come after the finish reason."""
    reason: str | None = None
    usage: dict[str, int] = {}
    async for chunk in _events(response):
        usage = chunk.get("usage") or usage
        for choice in chunk.get("choices") or ():
            reason = choice.get("finish_reason") or reason
            if text := (choice.get("delta") or {}).get("content"):
                yield StreamChunk(text)
    if reason is None:
        raise EngineLostError("The upstream stopped in the middle of an answer: try again.")
    finish = "length" if reason == "length" else "stop"
    yield StreamChunk("", usage.get("prompt_tokens"), usage.get("completion_tokens"), None, finish)  # type: ignore[arg-type]


async def _events(response: "Response") -> AsyncIterator[dict[str, Any]]:
    async for line in response.aiter_lines():
        data = line.removeprefix("data:").strip()
        if not line.startswith("data:") or data == "[DONE]":
            continue
        try:
            chunk = json.loads(data)
        except ValueError:
            raise EngineLostError("The upstream sent something that is no JSON: look at its log.") from None
        if chunk.get("error"):
            raise EngineLostError("The upstream broke off with an error: look at its log.")
        yield chunk
