from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tasks.adapters.inference.batch_engine import EngineProcesses, best_precision, open_engine
from tasks.adapters.inference.batch_types import Answer, Engine, EngineSpec
from tasks.adapters.models.base_model import EMBEDDED, load_tokenizer, resolve
from tasks.adapters.models.gguf_export import merged_gguf
from tasks.settings import Settings

QUESTIONS = [
    "What is the capital of France?",
    "Who wrote Romeo and Juliet?",
    "What colour is the sky?",
    "What is 2 + 2?",
    "Name a fruit.",
    "What do bees make?",
]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def spec() -> EngineSpec:
    cache = Settings().model_cache
    base = resolve(EMBEDDED, cache)
    return EngineSpec("openvino", merged_gguf(base, None, cache), base.folder, "f32", concurrency=4)


@pytest.fixture(scope="module")
def engine(spec: EngineSpec) -> Engine:
    return open_engine(spec)


def chats(spec: EngineSpec, questions: Sequence[str] = QUESTIONS) -> list[str]:
    tokenizer = load_tokenizer(spec.tokenizer)
    turns = [[{"role": "user", "content": question}] for question in questions]
    return [tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True) for turn in turns]


def texts(answers: Sequence[Answer]) -> list[str]:
    return [answer.text for answer in answers]


def test_answers_stop_at_the_end_of_the_turn_and_come_in_the_order_of_the_prompts(
    engine: Engine, spec: EngineSpec
) -> None:
    heard: dict[int, Answer] = {}
    answers = engine.answer(chats(spec), [24] * 5 + [3], heard.__setitem__)
    assert "Paris" in answers[0].text
    assert "Shakespeare" in answers[1].text
    assert "<|im_end|>" not in "".join(texts(answers))
    assert answers[0].completion_tokens < 24
    assert answers[5].completion_tokens == 3
    assert {answer.status for answer in answers} == {"ok"}
    assert [heard[index] for index in range(6)] == answers


def test_the_same_prompts_get_the_same_answers_every_time_with_few_threads_and_many(spec: EngineSpec) -> None:
    fitting = replace(spec, precision=best_precision(), processes=2)
    first, second = (EngineProcesses(replace(fitting, threads=threads)).answer(chats(spec), 16) for threads in (2, 1))
    assert texts(first) == texts(second)
    assert {answer.status for answer in first} == {"ok"}


def test_answers_are_those_of_transformers_but_for_near_ties(engine: Engine, spec: EngineSpec) -> None:
    theirs = open_engine(replace(spec, engine="transformers", weights=spec.tokenizer)).answer(chats(spec), 12)
    ours = engine.answer(chats(spec), 12)
    assert sum(a.text == b.text for a, b in zip(ours, theirs, strict=True)) >= 5
    assert [a.prompt_tokens for a in ours] == [b.prompt_tokens for b in theirs]


def test_a_request_that_takes_too_long_is_a_timeout_and_the_engine_goes_on(
    engine: Engine, spec: EngineSpec, monkeypatch: Any
) -> None:
    prompts = chats(spec)
    monkeypatch.setattr(engine, "_spec", replace(spec, timeout_s=1e-6))
    assert {(answer.status, answer.text) for answer in engine.answer(prompts, 64)} == {("timeout", "")}
    monkeypatch.undo()
    assert "Paris" in engine.answer(prompts[:1], 24)[0].text


def test_a_prompt_the_engine_refuses_is_its_own_error(engine: Engine, spec: EngineSpec) -> None:
    answers = engine.answer(["", *chats(spec, QUESTIONS[:1])], 24)
    assert [answer.status for answer in answers] == ["error", "ok"]


def test_an_engine_that_breaks_loses_what_it_was_computing_and_starts_anew(
    engine: Engine, spec: EngineSpec, monkeypatch: Any
) -> None:
    class Breaking:
        def __init__(self, real: Any) -> None:
            self.real, self.steps = real, 0

        def add_request(self, *arguments: Any) -> Any:
            return self.real.add_request(*arguments)

        def step(self) -> None:
            self.steps += 1
            if self.steps == 2:
                raise RuntimeError("Exception from src/inference: out of memory")
            self.real.step()

    monkeypatch.setattr(engine, "_pipeline", Breaking(engine._pipeline))  # type: ignore[attr-defined]
    answers = engine.answer(chats(spec), 8)
    assert [answer.status for answer in answers].count("error") == 4  # as many as are computed together
    assert [answer.status for answer in answers].count("ok") == 2
