import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from tasks.adapters.inference.batch_engine import EngineProcesses, best_precision, choose_engine, open_engine
from tasks.adapters.inference.batch_types import Answer, EngineSpec, finished, limits_of
from tasks.adapters.models.base_model import EMBEDDED, BaseModel, load_tokenizer, resolve
from tasks.settings import Settings


@pytest.fixture(scope="module")
def base() -> BaseModel:
    return resolve(EMBEDDED, Settings().model_cache)


@pytest.fixture(scope="module")
def tiny(base: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> EngineSpec:
    """A random model of one thin layer with the embedded model's tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return EngineSpec("transformers", folder, base.folder, "f32", threads=2, processes=2)


def chats(base: BaseModel, questions: Sequence[str]) -> list[str]:
    tokenizer = load_tokenizer(base.folder)
    turns = [[{"role": "user", "content": question}] for question in questions]
    return [tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True) for turn in turns]


def children() -> list[psutil.Process]:
    return [p for p in psutil.Process(os.getpid()).children(recursive=True) if "engine_worker" in " ".join(p.cmdline())]


def test_processes_answer_every_prompt_in_its_place_within_its_limit(tiny: EngineSpec) -> None:
    prompts = [f"Question {number}?" * (number + 1) for number in range(5)]
    heard: dict[int, Answer] = {}
    answers = EngineProcesses(tiny).answer(prompts, [1, 2, 3, 4, 5], heard.__setitem__)
    assert [answer.completion_tokens for answer in answers] == [1, 2, 3, 4, 5]
    assert [heard[index] for index in range(5)] == answers
    alone = open_engine(tiny).answer(prompts, 5)
    assert [answer.prompt_tokens for answer in answers] == [answer.prompt_tokens for answer in alone]


def test_what_a_lost_process_leaves_unanswered_has_the_status_error_and_the_log_says_why(
    tiny: EngineSpec, caplog: pytest.LogCaptureFixture
) -> None:
    broken = EngineSpec("openvino", tiny.weights / "nothing", tiny.tokenizer, "f32", threads=2, processes=2)
    with caplog.at_level(logging.WARNING):
        answers = EngineProcesses(broken).answer(["one", "two"], 4)
    assert [answer.status for answer in answers] == ["error", "error"]
    assert "ended with code 1" in caplog.text


def test_when_the_caller_gives_up_no_process_stays_behind(tiny: EngineSpec) -> None:
    def give_up(index: int, answer: Answer) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        EngineProcesses(tiny).answer(["one", "two"], 4, give_up)
    assert children() == []


def test_nothing_asked_is_nothing_answered(tiny: EngineSpec) -> None:
    assert EngineProcesses(tiny).answer([], 4) == []


def test_a_model_that_says_nothing_has_not_answered() -> None:
    assert finished(" \n", 10, 1, 0.5).status == "empty"
    assert finished(" Paris. ", 10, 3, 0.5) == Answer("Paris.", 10, 3, "ok", 0.5)


def test_one_limit_is_that_of_every_prompt() -> None:
    assert limits_of(7, ["a", "b"]) == [7, 7]
    assert limits_of([1, 2], ["a", "b"]) == [1, 2]


def test_a_model_without_gguf_source_is_answered_by_transformers_and_the_log_says_so(
    base: BaseModel, caplog: pytest.LogCaptureFixture
) -> None:
    other = BaseModel("some/model", base.folder, "0" * 64)
    with caplog.at_level(logging.INFO):
        assert choose_engine("auto", other) == "transformers"
    assert "some/model has no GGUF source" in caplog.text
    assert choose_engine("auto", base) == "openvino"
    assert choose_engine("transformers", base) == "transformers"


def test_the_best_precision_is_one_that_the_processor_has() -> None:
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    has_bf16 = any(flag in flags for flag in ("avx512_bf16", "amx_bf16", " bf16"))
    assert best_precision() == ("bf16" if has_bf16 else "f32")


def test_only_what_decides_answers_is_fixed(tiny: EngineSpec) -> None:
    assert set(tiny.fixed()) == {"engine", "precision", "processes", "concurrency", "cache_gb"}
    assert json.dumps(tiny.fixed())
