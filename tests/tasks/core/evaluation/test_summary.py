from dataclasses import replace

import polars as pl
import pytest

from tasks.core.chat.prompt import ABSTENTION
from tasks.core.evaluation.measurements import Item, ProbeItem, Reply, measure, measure_probe, measure_retrieval
from tasks.core.evaluation.summary import by_kind, summarise, summarise_retrieval
from tasks.core.retrieval.passages import Passage

RAGAS = pl.DataFrame(
    {
        "item_id": ["1", "2", "1", "2", "1"],
        "model": ["candidate"] * 4 + ["base"],
        "metric": ["rouge_l", "rouge_l", "faithfulness", "faithfulness", "rouge_l"],
        "value": [0.5, None, None, None, 1.0],
        "status": ["ok", "timeout", "not evaluated", "not evaluated", "ok"],
    }
)


def make(number: int, kind: str, *, answerable: bool, held_out: bool = False) -> Item:
    reference = "None" if answerable else ABSTENTION
    passages = (Passage("d-0", "d", 0, "None"),)
    findable = kind == "default"
    return Item(
        f"{number}", "f", kind, "", held_out, "q", reference, answerable, ("d",), findable, passages, answerable
    )


ITEMS = [
    make(1, "default", answerable=True),
    make(2, "default", answerable=True, held_out=True),
    make(3, "default", answerable=False),
    make(4, "withheld", answerable=False),
    make(5, "withheld", answerable=False),
]
REPLIES = ["None", ABSTENTION, ABSTENTION, "7", ""]
ROWS = measure(ITEMS, "candidate", [Reply(text, 10, 2, "ok" if text else "timeout") for text in REPLIES])
PROBE = measure_probe([ProbeItem("p", "q", ("Paris",))], "candidate", [Reply("Paris", 5, 1, "ok")])


def test_the_summary_holds_the_means_of_what_was_measured_and_says_how_much_that_is() -> None:
    found = summarise("candidate", ROWS, PROBE, RAGAS)
    assert {name: found[name] for name in ("items", "score", "exact_match", "token_f1", "coverage")} == {
        "items": 5,
        "score": 0.5,  # 1, 0, 1, 0 and one that failed
        "exact_match": 0.5,
        "token_f1": 0.5,
        "coverage": 0.8,
    }
    assert (found["abstention_precision"], found["abstention_recall"]) == (0.5, 0.5)
    assert (found["hallucination_rate"], found["ungrounded_rate"]) == (0.25, 0.25)
    assert (found["probe_accuracy"], found["prompt_tokens"], found["completion_tokens"]) == (1.0, 50, 10)


def test_the_summary_breaks_down_by_kind_and_by_wording() -> None:
    found = summarise("candidate", ROWS, PROBE, RAGAS)
    assert found["by_kind"]["withheld"] == {"items": 2, "score": 0.0, "hallucination_rate": 1.0}
    assert {name: group["items"] for name, group in found["by_wording"].items()} == {"held_out": 1, "trained": 4}


def test_a_metric_that_was_not_evaluated_says_so_instead_of_a_number() -> None:
    found = summarise("candidate", ROWS, PROBE, RAGAS)["ragas"]
    assert found == {
        "rouge_l": {"mean": 0.5, "coverage": 0.5},
        "faithfulness": {"mean": None, "coverage": 0.0, "status": "not evaluated"},
    }


def test_nothing_measured_gives_null_and_never_zero() -> None:
    failed = measure(ITEMS, "candidate", [Reply("", 0, 0, "error")] * 5)
    found = summarise("candidate", failed, PROBE.clear(), RAGAS.clear())
    assert all(found[name] is None for name in ("score", "token_f1", "hallucination_rate", "probe_accuracy"))
    assert found["coverage"] == 0


def test_only_rows_of_the_model_count() -> None:
    other = ROWS.with_columns(model=pl.lit("base"), score=pl.lit(0.0))
    assert summarise("candidate", pl.concat([ROWS, other]), PROBE, RAGAS)["score"] == 0.5


def test_retrieval_is_summarised_with_how_often_the_answer_was_there() -> None:
    found = summarise_retrieval(ITEMS, measure_retrieval(ITEMS, 1))
    assert (found["items"], found["recall_at_k"], found["mrr"]) == (3, 1.0, 1.0)
    assert found["holds_answer"] == pytest.approx(2 / 3, abs=1e-6)


def test_an_answer_that_only_another_index_holds_is_no_credit_to_this_retrieval() -> None:
    lost = [replace(item, holds_answer=False) for item in ITEMS]
    assert summarise_retrieval(lost, measure_retrieval(lost, 1))["holds_answer"] == 0


def test_the_plot_has_a_point_for_each_kind_and_model() -> None:
    assert by_kind(ROWS) == [
        {"kind": "default", "model": "candidate", "score": 0.666667},
        {"kind": "withheld", "model": "candidate", "score": 0.0},
    ]
