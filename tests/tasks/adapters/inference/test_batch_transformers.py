from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tasks.adapters.inference.batch_engine import open_engine
from tasks.adapters.inference.batch_types import Engine, EngineSpec
from tasks.adapters.models.base_model import EMBEDDED, load_tokenizer, resolve
from tasks.settings import Settings

QUESTIONS = ["What is the capital of France?", "Say hello.", "Who wrote Romeo and Juliet?"]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def spec() -> EngineSpec:
    base = resolve(EMBEDDED, Settings().model_cache)
    return EngineSpec("transformers", base.folder, base.folder, "f32")


@pytest.fixture(scope="module")
def engine(spec: EngineSpec) -> Engine:
    return open_engine(spec)


def chats(spec: EngineSpec, questions: Sequence[str] = QUESTIONS) -> list[str]:
    tokenizer = load_tokenizer(spec.tokenizer)
    turns = [[{"role": "user", "content": question}] for question in questions]
    return [tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True) for turn in turns]


def test_answers_stop_at_the_end_of_the_turn_and_come_in_the_order_of_the_prompts(
    engine: Engine, spec: EngineSpec
) -> None:
    answers = engine.answer(chats(spec), 24)
    assert "Paris" in answers[0].text
    assert "<|im_end|>" not in answers[0].text
    assert answers[0].completion_tokens < 24
    assert {answer.status for answer in answers} == {"ok"}


def test_a_prompt_is_answered_alike_alone_and_beside_others(engine: Engine, spec: EngineSpec) -> None:
    prompts = chats(spec)
    assert engine.answer(prompts[:1], 12)[0].text == engine.answer(prompts, 12)[0].text


def test_an_answer_that_takes_too_long_is_a_timeout(engine: Engine, spec: EngineSpec, monkeypatch: Any) -> None:
    monkeypatch.setattr(engine, "_spec", replace(spec, timeout_s=0.01))
    answers = engine.answer(chats(spec, QUESTIONS[2:]), 200)
    assert (answers[0].status, answers[0].text) == ("timeout", "")


def test_a_batch_that_fails_is_an_error_of_its_prompts(engine: Engine, spec: EngineSpec, monkeypatch: Any) -> None:
    class Broken:
        def generate(self, **_: object) -> None:
            raise RuntimeError("out of memory")

    monkeypatch.setattr(engine, "_model", Broken())
    assert {answer.status for answer in engine.answer(chats(spec), 8)} == {"error"}
