"""The streaming engine's batch: requests come and go while the pipeline steps (OpenVINO GenAI).

A request whose beginning another is computing right now waits for that one's first token, since the pipeline then
takes the beginning from its cache: with 32 questions at once, of which half share a document, a quarter of the work.
Text is given out where the tokenizer has written whole characters; the parts join to the text that evaluation
decodes. Caveat: a step holds Python's lock from its start to its end (two seconds for a long prompt on a busy
machine), which would stop every connection of the process it runs in: `stream_worker` runs this in one of its own.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tasks.adapters.inference.batch_types import EngineSpec
from tasks.adapters.inference.openvino_pipeline import (
    MAX_STEP_S,
    exit_on_hang,
    first_line,
    load_fast_tokenizer,
    open_pipeline,
    openvino_modules,
)
from tasks.core.chat.prefix_groups import group

CUT_CHARACTER = "\ufffd"  # what a tokenizer writes for the first bytes of a character


class TokenDelta(NamedTuple):
    """What a step added to one answer; `end` is "", "stop", "length", or a sentence about why it was refused."""

    number: int
    text: str
    prompt_tokens: int
    completion_tokens: int
    cpu_s: float
    end: str


@dataclass(frozen=True)
class _Waiting:
    ids: list[int]
    config: Any
    group: str


@dataclass
class _Running:
    handle: Any
    prompt_tokens: int
    group: str
    generated: list[int] = field(default_factory=list)
    shown: int = 0
    """Tokens whose text has been given out."""
    window: int = 0
    """Where decoding starts again: a few tokens before `shown`, since some tokenizers look back."""
    cpu_s: float = 0.0


class Batch:
    """The requests that are computed together."""

    def __init__(self, spec: EngineSpec) -> None:
        self._tokenizer, self._end = load_fast_tokenizer(spec.tokenizer)
        self._longest = _context_length(spec.tokenizer)
        self._pipeline = open_pipeline(spec)
        self._waiting: dict[int, _Waiting] = {}
        self._running: dict[int, _Running] = {}
        self._spent = time.process_time()

    @property
    def is_busy(self) -> bool:
        return bool(self._running or self._waiting) or bool(self._pipeline.has_non_finished_requests())

    def add(
        self, number: int, prompt: str, max_tokens: int, temperature: float, top_p: float, seed: int | None
    ) -> TokenDelta | None:
        """Take a request in; return its end at once where it is too long."""
        _, openvino_genai = openvino_modules()
        ids = self._tokenizer.encode(prompt, add_special_tokens=False).ids
        if len(ids) + max_tokens > self._longest:
            refusal = f"its {len(ids)} tokens and an answer are too many, the model reads {self._longest}"
            return TokenDelta(number, "", len(ids), 0, 0.0, refusal)
        config = openvino_genai.GenerationConfig(max_new_tokens=max_tokens, do_sample=temperature > 0)
        config.set_eos_token_id(self._end)
        if temperature > 0:
            config.temperature, config.top_p = temperature, top_p
            config.rng_seed = seed if seed is not None else time.time_ns() % 2**32
        self._waiting[number] = _Waiting(ids, config, group(prompt))
        return None

    def cancel(self, number: int) -> None:
        """Compute no further token of a request; does nothing where it has ended."""
        self._waiting.pop(number, None)
        request = self._running.pop(number, None)
        if request is not None:
            request.handle.cancel()

    def step(self) -> Iterator[TokenDelta]:
        """Compute a token of every request, and yield what it added to each, with the ends and the refusals.

        Raises RuntimeError where the pipeline breaks; nothing more can be computed with it then.
        """
        yield from self._admit()
        if not self.is_busy:
            return  # all were refused
        with exit_on_hang(MAX_STEP_S):
            self._pipeline.step()
        now = time.process_time()
        share, self._spent = (now - self._spent) / max(len(self._running), 1), now
        for number, request in list(self._running.items()):
            request.cpu_s += share
            delta = self._read(number, request)
            if delta.end:
                del self._running[number]
            if delta.end or delta.text:
                yield delta

    def rest(self) -> None:
        """Leave out of the answers' cost the time since the last step: nothing ran."""
        self._spent = time.process_time()

    def _admit(self) -> Iterator[TokenDelta]:
        """Hand over to the pipeline who need not wait, in the order they came, and yield those that it refuses."""
        known = {request.group for request in self._running.values() if request.generated}
        begun = {request.group for request in self._running.values()} - known
        for number, request in list(self._waiting.items()):
            if request.group in begun:
                continue
            del self._waiting[number]
            refused = self._enter(number, request)
            if refused:
                yield refused
            elif request.group not in known:
                begun.add(request.group)

    def _enter(self, number: int, request: _Waiting) -> TokenDelta | None:
        import numpy as np

        openvino, _ = openvino_modules()
        ids = openvino.Tensor(np.array([request.ids], dtype=np.int64))
        try:
            handle = self._pipeline.add_request(number, ids, request.config)
        except RuntimeError as error:
            return TokenDelta(number, "", len(request.ids), 0, 0.0, f"the engine refuses it: {first_line(error)}")
        self._running[number] = _Running(handle, len(request.ids), request.group)
        return None

    def _read(self, number: int, request: _Running) -> TokenDelta:
        from openvino_genai import GenerationFinishReason, GenerationStatus

        is_cut = False
        while request.handle.can_read():
            for output in request.handle.read().values():
                request.generated += output.generated_ids
                is_cut = output.finish_reason == GenerationFinishReason.LENGTH
        status, end = request.handle.get_status(), ""
        if status == GenerationStatus.FINISHED:
            end = "length" if is_cut else "stop"
        elif status != GenerationStatus.RUNNING:  # IGNORED
            end = f"its {request.prompt_tokens} tokens do not fit into the engine's memory"
        text = self._new_text(request, is_last=bool(end))
        return TokenDelta(number, text, request.prompt_tokens, len(request.generated), request.cpu_s, end)

    def _new_text(self, request: _Running, *, is_last: bool) -> str:
        """Return what the tokens since the last call add to the text, "" while they end within a character."""
        before = self._tokenizer.decode(request.generated[request.window : request.shown], skip_special_tokens=True)
        text = self._tokenizer.decode(request.generated[request.window :], skip_special_tokens=True)
        if len(text) <= len(before) or (text.endswith(CUT_CHARACTER) and not is_last):
            return ""
        request.window, request.shown = request.shown, len(request.generated)
        return str(text[len(before) :])


def _context_length(model: Path) -> int:
    return int(json.loads((model / "config.json").read_text(encoding="utf-8")).get("max_position_embeddings", 2048))
