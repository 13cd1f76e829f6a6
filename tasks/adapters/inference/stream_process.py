"""The embedded streaming engine: a child process runs the pipeline, and its answers are read as streams.

A process of its own, because a step holds Python's lock (see `stream_openvino`), a crash or a hang of the library
must not take the connections with it, and ending it gives all memory back when models are swapped. When it dies, its
running answers are lost with one sentence each and a new one starts; requests wait for that as long as they may.
"""

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tasks.adapters.inference.batch_types import EngineSpec
from tasks.adapters.inference.stream_engine import EngineLostError, GenerationRequest, PromptRefusedError, StreamChunk
from tasks.adapters.system.processes import die_with_parent

logger = logging.getLogger(__name__)

LINE_BYTES = 1 << 22  # a step's text of a few hundred answers
OPTIONS = ("max_tokens", "temperature", "top_p", "seed")  # of a request, as the worker reads them
START_S = 300.0
GRACE_S = 5.0
PAUSE_S = (0.5, 30.0)  # before a new start, doubled from the first to the second

Template = Callable[[Sequence[Mapping[str, str]]], str]
_Event = StreamChunk | Exception


class ProcessEngine:
    """The engine in a child process of this event loop."""

    def __init__(self, spec: EngineSpec, template: Template, command: Sequence[str] | None = None) -> None:
        """Take `template`, which renders a chat as the text to continue; `command` starts another worker."""
        self._spec, self._template = spec, template
        self._command = command or (sys.executable, "-m", "tasks.adapters.inference.stream_worker")
        self._answers: dict[int, asyncio.Queue[_Event]] = {}
        self._number = 0
        self._ready = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._error: str | None = None

    @property
    def name(self) -> str:
        return f"{self._spec.engine} {self._spec.precision}"

    @property
    def is_ready(self) -> bool:
        return self._ready.is_set()

    @property
    def pid(self) -> int | None:
        """Process id of the child, while there is one."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Load the model and return when it can answer. Raises EngineLostError when it cannot be loaded."""
        self._keeper = asyncio.create_task(self._keep())
        waiting = asyncio.create_task(self._ready.wait())
        await asyncio.wait({waiting, self._keeper}, timeout=START_S, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not self._ready.is_set():
            await self.close()
            raise EngineLostError(self._error or f"The engine was not ready within {START_S:.0f} s: start again.")

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[StreamChunk, None]:
        """Yield the answer in chunks; closing the generator takes the request out of the batch."""
        prompt = self._template(request.messages)
        await self._ready.wait()
        self._number += 1
        number = self._number
        events: asyncio.Queue[_Event] = asyncio.Queue()
        self._answers[number] = events
        options = {name: getattr(request, name) for name in OPTIONS}
        self._tell({"generate": number, "prompt": prompt, **options})
        try:
            while True:
                event = await events.get()
                if isinstance(event, Exception):
                    raise event
                yield event
                if event.finish_reason:
                    return
        finally:
            if self._answers.pop(number, None) is not None:
                self._tell({"cancel": number})

    async def close(self) -> None:
        """End the child: by closing its input, and by force where that is not enough."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        await self._end_child()
        self._lose("The engine was closed while it answered: ask again.")

    async def _keep(self) -> None:
        """Restart the child whenever it ends, until cancelled; give up where the first one never became ready."""
        pause, has_been_ready = PAUSE_S[0], False
        while True:
            await self._spawn()
            try:
                await self._listen()
            finally:
                was_ready = self._ready.is_set()
                self._ready.clear()
            code = await self._end_child()
            self._error = f"The engine ended with code {code}: see the log for what it said, and try again."
            self._lose(self._error)
            has_been_ready |= was_ready
            if not has_been_ready:
                return
            logger.warning("the engine ended with code %s and starts anew", code)
            pause = PAUSE_S[0] if was_ready else min(2 * pause, PAUSE_S[1])
            await asyncio.sleep(pause)

    async def _spawn(self) -> None:
        values = json.dumps(asdict(self._spec), default=str)
        root = str(Path(__file__).parents[3])  # the worker starts wherever this process runs
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            values,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_BYTES,
            env={**os.environ, "OMP_NUM_THREADS": str(self._spec.threads), "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,  # Ctrl-C is for the gateway, which lets running answers end
            preexec_fn=die_with_parent,
        )

    async def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            message = json.loads(line)
            if isinstance(message, dict):
                self._ready.set()
                continue
            for delta in message:
                self._hear(*delta)

    def _hear(self, number: int, text: str, prompt_tokens: int, completion_tokens: int, cpu_s: float, end: str) -> None:
        events = self._answers.get(number)
        if events is None:
            return
        if end not in ("", "stop", "length"):
            event: _Event = PromptRefusedError(f"The question and its context cannot be answered, {end}: shorten it.")
        else:
            event = StreamChunk(text, prompt_tokens, completion_tokens, cpu_s, end or None)  # type: ignore[arg-type]
        if end:
            self._answers.pop(number)
        events.put_nowait(event)

    def _tell(self, order: dict[str, Any]) -> None:
        if self._process is None or self._process.stdin is None or self._process.stdin.is_closing():
            return  # it has just died: `_keep` tells those who wait
        self._process.stdin.write(json.dumps(order).encode() + b"\n")

    def _lose(self, sentence: str) -> None:
        for events in self._answers.values():
            events.put_nowait(EngineLostError(sentence))
        self._answers.clear()

    async def _end_child(self) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), GRACE_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        return process.returncode
