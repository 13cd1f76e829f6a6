from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tasks.adapters.evaluation.eval_set import RetrievalSetup
from tasks.adapters.evaluation.evaluated_models import EvaluatedModel
from tasks.adapters.evaluation.predictions import ModelRun, Predictions, PromptSet
from tasks.adapters.evaluation.ragas_judge import JUDGED, OFFLINE, JudgeSpec
from tasks.adapters.evaluation.ragas_table import JudgeSetup, ragas_table
from tasks.adapters.inference.batch_types import Answer, EngineSpec
from tasks.adapters.models.base_model import BaseModel
from tasks.adapters.retrieval.index import Retriever
from tasks.core.evaluation.judge_validation import LabelledPair
from tasks.core.evaluation.measurements import Item
from tasks.core.retrieval.passages import Passage

PASSAGES = (Passage("d-0", "d", 0, "indent: None"),)
ITEMS = [
    Item(f"{n}", "f", "default", "", False, "Default?", "None", True, ("d",), True, PASSAGES, True) for n in range(4)
]
ANSWERS = [Answer("None", 9, 1, "ok")] * 3 + [Answer("", 9, 0, "timeout")]
PAIRS = [LabelledPair(f"{n}", "context", "question", f"statement {n}", n % 2 == 0, "number") for n in range(8)]


def embed(texts: Sequence[str]) -> np.ndarray:
    return np.ones((len(texts), 1))


def candidate(num_items: int = 4) -> ModelRun:
    """The first of the items with their answers."""
    folder = Path("unused")
    retrieval = RetrievalSetup(Retriever([], {}, np.empty((0, 1)), lexical=None), passages=1)  # type: ignore[arg-type]
    model = EvaluatedModel("candidate", BaseModel("base", folder, "digest"), None, retrieval)
    prompts = PromptSet(ITEMS[:num_items], [], max_new_tokens=9, probe_tokens=9)
    engine = EngineSpec("openvino", weights=folder, tokenizer=folder, precision="f32")
    return ModelRun(model, prompts, engine, Predictions(ANSWERS[:num_items], [], wall_s=1.0))


def judge_setup(url: str, items: int = 2) -> JudgeSetup:
    return JudgeSetup(JudgeSpec(url, "judge", timeout_s=10), PAIRS, 0.75, items, seed=0)


def statuses(table: pl.DataFrame, metrics: Sequence[str]) -> dict[str, int]:
    counts = table.filter(pl.col("metric").is_in(metrics))["status"].value_counts()
    return dict(counts.iter_rows())


def test_without_a_judge_the_offline_metrics_stand_alone() -> None:
    table, admission = ragas_table([candidate()], embed, None)
    assert statuses(table, OFFLINE) == {"ok": 3 * len(OFFLINE), "timeout": len(OFFLINE)}
    assert statuses(table, JUDGED) == {"not evaluated": 4 * len(JUDGED)}
    assert (admission.admitted, admission.balanced_accuracy) == (False, None)
    assert table.filter(pl.col("status") != "ok")["value"].null_count() == table.filter(pl.col("status") != "ok").height


def test_an_admitted_judge_measures_as_many_items_as_configured(judge_stub: Any) -> None:
    judge_stub.knows = {pair.answer for pair in PAIRS if pair.faithful} | {"None"}
    table, admission = ragas_table([candidate(3)], embed, judge_setup(judge_stub.url))
    assert (admission.admitted, admission.balanced_accuracy) == (True, 1.0)
    judged = table.filter(pl.col("metric") == "faithfulness")
    assert judged.filter(pl.col("value") == 1).height == judged["value"].drop_nulls().len() >= 1
    assert statuses(judged, JUDGED)["not evaluated"] >= 1


def test_a_judge_that_fails_the_pairs_is_not_asked_about_the_models(judge_stub: Any) -> None:
    judge_stub.knows = {pair.answer for pair in PAIRS}
    table, admission = ragas_table([candidate()], embed, judge_setup(judge_stub.url))
    assert (admission.admitted, admission.balanced_accuracy) == (False, 0.5)
    assert statuses(table, JUDGED) == {"judge not admitted": 4 * len(JUDGED)}
    assert len(judge_stub.asked) == 2 * len(PAIRS)
