"""The batch engine on CPU: continuous batching from a GGUF file with the adapter merged in (OpenVINO GenAI).

Decoding is greedy and stops at the end-of-turn token. The order in which requests enter follows from the prompts and
the answers, never from the clock, so that the same prompts in the same process get the same answers. Caveat: what else
is in the batch can tip a near tie (1 answer of 60 in f32).
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tasks.adapters.inference.batch_types import Answer, EngineSpec, Limits, OnAnswer, failed, finished, limits_of
from tasks.adapters.inference.openvino_pipeline import (
    MAX_STEP_S,
    exit_on_hang,
    first_line,
    load_fast_tokenizer,
    open_pipeline,
    openvino_modules,
)
from tasks.core.chat.prefix_groups import group, next_prompt, shares

if TYPE_CHECKING:
    from openvino_genai import ContinuousBatchingPipeline

logger = logging.getLogger(__name__)


@dataclass
class _Request:
    index: int
    handle: Any
    prompt_tokens: int
    started: float
    generated: list[int] = field(default_factory=list)


class OpenVinoEngine:
    """One pipeline in this process. Not for several threads at once."""

    def __init__(self, spec: EngineSpec) -> None:
        self._spec = spec
        self._tokenizer, self._end = load_fast_tokenizer(spec.tokenizer)
        self._pipeline = self._open()
        self._number = 0

    def answer(self, prompts: Sequence[str], max_new_tokens: Limits, on_done: OnAnswer | None = None) -> list[Answer]:
        """Answer `prompts`; at most `concurrency` are computed together, and the next enters when one is through."""
        answers: dict[int, Answer] = {}

        def keep(index: int, answer: Answer) -> None:
            answers[index] = answer
            if on_done:
                on_done(index, answer)

        limits = limits_of(max_new_tokens, prompts)
        groups = [group(prompt) for prompt in prompts]
        waiting = [index for share in shares(prompts, 1) for index in share]
        running: list[_Request] = []
        while waiting or running:
            while waiting and len(running) < self._spec.concurrency:
                index = waiting.pop(next_prompt(waiting, groups, {groups[request.index] for request in running}))
                self._admit(index, prompts[index], limits[index], running, keep)
            self._step(running, keep)
        return [answers[index] for index in range(len(prompts))]

    def _admit(self, index: int, prompt: str, max_new_tokens: int, running: list[_Request], keep: OnAnswer) -> None:
        import numpy as np

        openvino, openvino_genai = openvino_modules()

        ids = self._tokenizer.encode(prompt, add_special_tokens=False).ids
        config = openvino_genai.GenerationConfig(max_new_tokens=max_new_tokens, do_sample=False)
        config.set_eos_token_id(self._end)
        self._number += 1
        try:
            handle = self._pipeline.add_request(self._number, openvino.Tensor(np.array([ids], dtype=np.int64)), config)
        except RuntimeError as error:
            logger.warning("the engine refuses a prompt of %d tokens: %s", len(ids), first_line(error))
            keep(index, failed("error", len(ids)))
            return
        running.append(_Request(index, handle, len(ids), time.monotonic()))

    def _step(self, running: list[_Request], keep: OnAnswer) -> None:
        """Compute one token of every running request; take out those that are through, too late or lost."""
        if not running:
            return
        try:
            with exit_on_hang(MAX_STEP_S):
                self._pipeline.step()
        except RuntimeError as error:
            logger.warning("the engine lost %d requests and starts anew: %s", len(running), first_line(error))
            for request in running:
                keep(request.index, failed("error", request.prompt_tokens, time.monotonic() - request.started))
            running.clear()
            self._pipeline = self._open()
            return
        for request in list(running):
            answer = self._progress(request)
            if answer:
                running.remove(request)
                keep(request.index, answer)

    def _progress(self, request: _Request) -> Answer | None:
        from openvino_genai import GenerationStatus

        while request.handle.can_read():
            for output in request.handle.read().values():
                request.generated += output.generated_ids
        seconds, status = time.monotonic() - request.started, request.handle.get_status()
        if status == GenerationStatus.RUNNING:
            if seconds < self._spec.timeout_s:
                return None
            request.handle.cancel()
            return failed("timeout", request.prompt_tokens, seconds)
        if status != GenerationStatus.FINISHED:  # IGNORED: it does not fit into the cache
            return failed("error", request.prompt_tokens, seconds)
        text = self._tokenizer.decode(request.generated, skip_special_tokens=True)
        return finished(text, request.prompt_tokens, len(request.generated), seconds)

    def _open(self) -> "ContinuousBatchingPipeline":
        return open_pipeline(self._spec)
