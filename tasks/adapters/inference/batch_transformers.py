"""The batch engine on torch: Hugging Face generate, for models that the OpenVINO engine cannot read (transformers).

Prompts are sorted by length, so that a batch holds little padding, and padded on the left. Caveat: several times slower
than the OpenVINO engine, and a batch ends with its longest answer.
"""

import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from tasks.adapters.inference.batch_types import Answer, EngineSpec, Limits, OnAnswer, failed, finished, limits_of
from tasks.adapters.models.base_model import load_tokenizer

BATCH = 16


class TransformersEngine:
    """A model folder loaded by transformers in this process. Not for several threads at once."""

    def __init__(self, spec: EngineSpec) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        self._spec = spec
        self._tokenizer = load_tokenizer(spec.tokenizer)
        self._tokenizer.padding_side = "left"
        dtype = torch.bfloat16 if spec.precision == "bf16" else torch.float32
        torch.set_num_threads(spec.threads)
        self._model: Any = AutoModelForCausalLM.from_pretrained(spec.weights, dtype=dtype, local_files_only=True)
        self._model.train(False)

    def answer(self, prompts: Sequence[str], max_new_tokens: Limits, on_done: OnAnswer | None = None) -> list[Answer]:
        """Answer `prompts` in batches; one that raises fails as a whole and alone."""
        answers: dict[int, Answer] = {}
        limits = limits_of(max_new_tokens, prompts)
        order = sorted(range(len(prompts)), key=lambda i: (limits[i], len(prompts[i]), prompts[i], i))
        for batch in _batches(order, limits, min(BATCH, self._spec.concurrency)):
            replies = self._batch([prompts[i] for i in batch], limits[batch[0]])
            for index, answer in zip(batch, replies, strict=True):
                answers[index] = answer
                if on_done:
                    on_done(index, answer)
        return [answers[index] for index in range(len(prompts))]

    def _batch(self, prompts: Sequence[str], max_new_tokens: int) -> list[Answer]:
        import torch

        started = time.monotonic()
        inputs = self._tokenizer(list(prompts), return_tensors="pt", padding=True, add_special_tokens=False)
        lengths = inputs["attention_mask"].sum(dim=1).tolist()
        try:
            with torch.inference_mode():
                outputs = self._model.generate(
                    **inputs,
                    max_new_tokens=max_new_tokens,
                    max_time=self._spec.timeout_s,
                    do_sample=False,
                    pad_token_id=self._tokenizer.pad_token_id,
                )
        except (RuntimeError, ValueError):
            return [failed("error", length, time.monotonic() - started) for length in lengths]
        seconds = time.monotonic() - started
        new = outputs[:, inputs["input_ids"].shape[1] :].tolist()
        return [self._read(ids, length, max_new_tokens, seconds) for ids, length in zip(new, lengths, strict=True)]

    def _read(self, ids: list[int], prompt_tokens: int, max_new_tokens: int, seconds: float) -> Answer:
        end = self._tokenizer.eos_token_id
        is_whole = end in ids
        kept = ids[: ids.index(end) + 1] if is_whole else ids
        if not is_whole and len(kept) < max_new_tokens:
            return failed("timeout", prompt_tokens, seconds)
        return finished(self._tokenizer.decode(kept, skip_special_tokens=True), prompt_tokens, len(kept), seconds)


def _batches(order: Sequence[int], limits: Sequence[int], size: int) -> Iterator[list[int]]:
    """Yield batches of prompts with one limit."""
    for _, members in groupby(order, key=lambda index: limits[index]):
        same = list(members)
        yield from (same[start : start + size] for start in range(0, len(same), size))
