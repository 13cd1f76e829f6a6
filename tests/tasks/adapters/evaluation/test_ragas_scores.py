from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from tasks.adapters.evaluation.ragas_judge import JUDGED, OFFLINE, JudgeSpec
from tasks.adapters.evaluation.ragas_scores import Bench, second_opinion
from tasks.core.evaluation.judge_validation import Pair
from tasks.core.evaluation.measurements import Item, Reply, measure
from tasks.core.retrieval.passages import Passage

PASSAGES = (Passage("d-0", "d", 0, "indent: None"),)
ITEMS = [
    Item(f"{n}", "f", "default", "", False, "Default?", "None", True, ("d",), True, PASSAGES, True) for n in range(4)
]
ROWS = measure(ITEMS, "candidate", [Reply("None", 9, 1, "ok")] * 3 + [Reply("", 9, 0, "timeout")])
PAIRS = [Pair(f"{n}", "context", "question", f"statement {n}", n % 2 == 0, "number") for n in range(8)]


def embed(texts: Sequence[str]) -> np.ndarray:
    return np.ones((len(texts), 1))


def bench(url: str, items: int = 2) -> Bench:
    return Bench(JudgeSpec(url, "judge", timeout_s=10), PAIRS, 0.75, items, seed=0)


def statuses(table: pl.DataFrame, metrics: Sequence[str]) -> dict[str, int]:
    counts = table.filter(pl.col("metric").is_in(metrics))["status"].value_counts()
    return dict(counts.iter_rows())


def test_without_a_judge_the_offline_metrics_stand_alone() -> None:
    table, admission = second_opinion(ROWS, {"candidate": ITEMS}, embed, None)
    assert statuses(table, OFFLINE) == {"ok": 3 * len(OFFLINE), "timeout": len(OFFLINE)}
    assert statuses(table, JUDGED) == {"not evaluated": 4 * len(JUDGED)}
    assert (admission.admitted, admission.balanced_accuracy) == (False, None)
    assert table.filter(pl.col("status") != "ok")["value"].null_count() == table.filter(pl.col("status") != "ok").height


def test_an_admitted_judge_measures_as_many_items_as_configured(judge_stub: Any) -> None:
    judge_stub.knows = {pair.answer for pair in PAIRS if pair.faithful} | {"None"}
    table, admission = second_opinion(ROWS[:3], {"candidate": ITEMS}, embed, bench(judge_stub.url))
    assert (admission.admitted, admission.balanced_accuracy) == (True, 1.0)
    judged = table.filter(pl.col("metric") == "faithfulness")
    assert judged.filter(pl.col("value") == 1).height == judged["value"].drop_nulls().len() >= 1
    assert statuses(judged, JUDGED)["not evaluated"] >= 1


def test_a_judge_that_fails_the_pairs_is_not_asked_about_the_models(judge_stub: Any) -> None:
    judge_stub.knows = {pair.answer for pair in PAIRS}
    table, admission = second_opinion(ROWS, {"candidate": ITEMS}, embed, bench(judge_stub.url))
    assert (admission.admitted, admission.balanced_accuracy) == (False, 0.5)
    assert statuses(table, JUDGED) == {"judge not admitted": 4 * len(JUDGED)}
    assert len(judge_stub.asked) == 2 * len(PAIRS)
