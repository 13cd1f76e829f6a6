import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.adapters.evaluation.eval_set import read_pairs
from tasks.adapters.evaluation.ragas_judge import (
    JUDGED,
    NOT_EVALUATED,
    OFFLINE,
    Judge,
    JudgeSpec,
    Measurement,
    Sample,
    check_endpoint,
    offline_scores,
    ragas_embedding,
    unjudged,
)
from tasks.adapters.inference.batch_engine import open_engine
from tasks.adapters.inference.batch_types import Engine, EngineSpec
from tasks.adapters.models.base_model import EMBEDDED, load_tokenizer, resolve
from tasks.adapters.models.gguf_export import merged_gguf
from tasks.adapters.retrieval.embedder import load_embedder
from tasks.core.errors import ConfigError
from tasks.core.evaluation.judge_validation import admit
from tasks.settings import Settings

RIGHT = Sample(
    "1", "candidate", "What does it do?", "It opens a file.", "Opens a file.", ("open: it opens a file.", "-")
)
WRONG = Sample(
    "2", "candidate", "What does it do?", "It shuts a door.", "Opens a file.", ("open: it opens a file.", "-")
)


def embed(texts: Sequence[str]) -> np.ndarray:
    """Return unit vectors that follow from the letters of each text."""
    counts = np.array([[text.lower().count(letter) + 0.01 for letter in "abcdefgh"] for text in texts])
    return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def by_metric(found: Sequence[Measurement]) -> dict[str, Measurement]:
    return {measurement.metric: measurement for measurement in found}


def spec(url: str) -> JudgeSpec:
    return JudgeSpec(url, "judge", concurrency=4, timeout_s=10)


def test_the_offline_metrics_need_no_judge() -> None:
    found = by_metric(offline_scores([RIGHT], embed))
    assert set(found) == set(OFFLINE)
    assert {m.status for m in found.values()} == {"ok"}
    assert found["rouge_l"].value == pytest.approx(6 / 7, abs=1e-6)
    assert (found["exact_match"].value, found["string_presence"].value) == (0.0, 0.0)
    assert found["string_similarity"].value is not None
    assert found["string_similarity"].value > 0.6


def test_an_answer_that_failed_keeps_its_status_and_gets_no_value() -> None:
    late = replace(RIGHT, status="timeout", answer="")
    assert {(m.value, m.status) for m in offline_scores([late], embed)} == {(None, "timeout")}


def test_similarity_in_batches_is_what_ragas_computes_one_by_one() -> None:
    from ragas.metrics.collections import SemanticSimilarity

    embedder = load_embedder()
    ours = [by_metric(offline_scores([s], embedder.embed))["semantic_similarity"].value for s in (RIGHT, WRONG)]
    theirs = SemanticSimilarity(embeddings=ragas_embedding(embedder.embed))
    expected = [theirs.score(reference=s.reference, response=s.answer).value for s in (RIGHT, WRONG)]
    assert ours == pytest.approx(expected, abs=1e-4)


def test_without_a_judge_its_metrics_are_not_evaluated_instead_of_a_number() -> None:
    assert {(m.metric, m.value, m.status) for m in unjudged([RIGHT])} == {(m, None, NOT_EVALUATED) for m in JUDGED}


def test_a_judge_measures_every_metric(judge_stub: Any) -> None:
    judge_stub.knows = {RIGHT.answer, RIGHT.reference}
    found = by_metric(Judge(spec(judge_stub.url), embed).scores([RIGHT]))
    assert {name: m.status for name, m in found.items()} == dict.fromkeys(JUDGED, "ok")
    assert (found["faithfulness"].value, found["factual_correctness"].value) == (1.0, 1.0)
    wrong = by_metric(Judge(spec(judge_stub.url), embed).scores([WRONG]))
    assert (wrong["faithfulness"].value, wrong["factual_correctness"].value) == (0.0, 0.0)


def test_an_abstention_has_no_statements_to_judge(judge_stub: Any) -> None:
    found = by_metric(Judge(spec(judge_stub.url), embed).scores([replace(RIGHT, abstained=True)]))
    assert found["faithfulness"].status == "not applicable"
    assert found["context_recall"].status == "ok"


@pytest.mark.parametrize(
    ("fault", "reason"), [("prose", "InstructorRetryException"), ("error 500", "InternalServerError|InstructorRetry")]
)
def test_a_judge_that_misbehaves_costs_values_and_nothing_else(judge_stub: Any, fault: str, reason: str) -> None:
    import re

    judge_stub.fault = fault
    found = Judge(spec(judge_stub.url), embed).scores([RIGHT])
    assert len(found) == len(JUDGED)
    assert all(m.value is None and re.match(reason, m.status) for m in found)


def test_a_judge_that_does_not_answer_in_time_is_given_up(judge_stub: Any) -> None:
    judge_stub.fault = "slow"
    hasty = replace(spec(judge_stub.url), timeout_s=0.3, concurrency=8)
    found = Judge(hasty, embed).scores([RIGHT])
    assert all(m.value is None and "time" in m.status.lower() for m in found)


def test_one_bad_item_does_not_cost_the_others_their_values(judge_stub: Any) -> None:
    judge_stub.fault, judge_stub.knows = "sometimes", {RIGHT.answer, RIGHT.reference}
    unlucky = replace(RIGHT, item_id="3", question="unlucky?", answer="unlucky", reference="unlucky")
    found = Judge(spec(judge_stub.url), embed).scores([unlucky, RIGHT])
    assert all(m.value is None for m in found if m.item_id == "3")
    assert all(m.value is not None for m in found if m.item_id == "1")


def test_no_more_calls_are_in_flight_than_allowed(judge_stub: Any) -> None:
    samples = [replace(RIGHT, item_id=str(number)) for number in range(8)]
    Judge(replace(spec(judge_stub.url), concurrency=3), embed).scores(samples)
    assert 1 < judge_stub.most_in_flight <= 3 * 3  # answer_relevancy makes three calls at once


def test_a_good_judge_passes_the_shipped_pairs(judge_stub: Any, repository: Path) -> None:
    pairs = read_pairs(repository / "configs/finetune/judge_pairs.jsonl")
    judge_stub.knows = {pair.answer for pair in pairs if pair.faithful}
    admission = admit(pairs, Judge(spec(judge_stub.url), embed).verdicts(pairs), 0.75)
    assert (admission.admitted, admission.balanced_accuracy) == (True, 1.0)


def test_a_judge_that_believes_everything_does_not_pass(judge_stub: Any, repository: Path) -> None:
    pairs = read_pairs(repository / "configs/finetune/judge_pairs.jsonl")[:16]
    judge_stub.knows = {pair.answer for pair in pairs}
    admission = admit(pairs, Judge(spec(judge_stub.url), embed).verdicts(pairs), 0.75)
    assert (admission.admitted, admission.balanced_accuracy) == (False, 0.5)


def test_a_judge_that_fails_from_the_start_is_asked_no_more(judge_stub: Any, repository: Path) -> None:
    judge_stub.fault = "error 500"
    pairs = read_pairs(repository / "configs/finetune/judge_pairs.jsonl")
    verdicts = Judge(spec(judge_stub.url), embed).verdicts(pairs)
    assert verdicts == [None] * len(pairs)
    assert len(judge_stub.asked) <= 4 * 4


def test_the_library_keeps_no_identity_of_the_user(judge_stub: Any) -> None:
    from ragas._analytics import get_userid

    Judge(spec(judge_stub.url), embed)
    assert get_userid().startswith("anonymous")


def test_an_address_that_is_none_is_refused_in_one_sentence() -> None:
    with pytest.raises(ConfigError, match="RATCHET_JUDGE_BASE_URL='judge:80' is no http"):
        check_endpoint(JudgeSpec("judge:80", "m"))


@dataclass
class SmallModel:
    """The embedded model behind an OpenAI-compatible endpoint, and which of its replies were cut off."""

    url: str
    cut: list[bool] = field(default_factory=list)


@pytest.fixture
def small_model(settings: Settings) -> Iterator[SmallModel]:
    base = resolve(EMBEDDED, settings.model_cache)
    tokenizer, weights = load_tokenizer(base.folder), merged_gguf(base, None, settings.model_cache)
    engine = open_engine(EngineSpec("openvino", weights, base.folder, "f32", threads=settings.threads))
    model = SmallModel("")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _serve(engine, tokenizer, model))
    model.url = f"http://127.0.0.1:{server.server_port}/v1"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield model
    server.shutdown()
    server.server_close()


def _serve(engine: Engine, tokenizer: Any, model: SmallModel) -> type[BaseHTTPRequestHandler]:
    turn = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompt = tokenizer.apply_chat_template(body["messages"], tokenize=False, add_generation_prompt=True)
            with turn:
                answer = engine.answer([prompt], body["max_tokens"])[0]
            model.cut.append(answer.completion_tokens >= body["max_tokens"])
            message = {"role": "assistant", "content": answer.text}
            choice = {"index": 0, "finish_reason": "length" if model.cut[-1] else "stop", "message": message}
            reply = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
            data = json.dumps(reply)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


@pytest.mark.slow
def test_the_embedded_model_does_not_pass_as_a_judge(small_model: SmallModel, repository: Path) -> None:
    pairs = read_pairs(repository / "configs/finetune/judge_pairs.jsonl")[:4:2]  # one of each label
    judge = Judge(JudgeSpec(small_model.url, "smollm2", concurrency=1, timeout_s=300, max_tokens=400), embed)
    verdicts = [judge.verdicts([pair])[0] for pair in pairs]
    admission = admit(pairs, verdicts, 0.75)
    assert not admission.admitted
    assert admission.balanced_accuracy is not None
    assert admission.balanced_accuracy < 0.75
    assert sum(small_model.cut) < len(small_model.cut) / 2, (
        "most replies were cut off: this says nothing about the model"
    )
