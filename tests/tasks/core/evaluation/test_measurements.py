from tasks.core.chat.prompt import ABSTENTION
from tasks.core.evaluation.measurements import (
    PROBE_SCHEMA,
    ROW_SCHEMA,
    Item,
    ProbeItem,
    Reply,
    measure,
    measure_probe,
    measure_retrieval,
    reference_answer,
)
from tasks.core.retrieval.passages import Passage

METRICS = ("abstained", "exact_match", "token_f1", "score", "hallucinated", "ungrounded")


def item(
    number: int = 0, *, answerable: bool = True, documents: tuple[str, ...] = ("d0",), findable: bool = True
) -> Item:
    return Item(
        id=f"item-{number}",
        family="f",
        kind="default",
        phrasing="default-1",
        held_out=False,
        question="What is the default of indent?",
        reference=reference_answer("None", answerable=answerable),
        answerable=answerable,
        document_ids=documents,
        is_findable=findable,
        passages=(Passage("d9-0", "d9", 0, "pickle"), Passage("d0-0", "d0", 0, "json.dumps(obj, indent=None)")),
        holds_answer=answerable,
    )


def row(item: Item, text: str, status: str = "ok") -> dict[str, object]:
    return measure([item], "candidate", [Reply(text, 200, 3, status)]).row(0, named=True)


def test_a_right_answer_is_measured_as_such() -> None:
    found = row(item(), "None")
    assert {name: found[name] for name in METRICS} == {
        "abstained": False,
        "exact_match": 1.0,
        "token_f1": 1.0,
        "score": 1.0,
        "hallucinated": False,
        "ungrounded": False,
    }
    assert (found["retrieved_ids"], found["cluster"], found["model"]) == (["d9-0", "d0-0"], "d0", "candidate")


def test_an_answer_with_what_the_context_does_not_hold_is_ungrounded_and_an_abstention_is_not() -> None:
    assert row(item(), "It is 17 since Python.")["ungrounded"] is True
    assert row(item(), "The context does not mention Guido.")["ungrounded"] is False


def test_what_the_context_cannot_answer_is_right_to_decline() -> None:
    unanswerable = item(answerable=False)
    assert unanswerable.reference == ABSTENTION
    assert row(unanswerable, ABSTENTION)["score"] == 1
    assert row(unanswerable, "None")["hallucinated"] is True


def test_a_failed_answer_has_no_measurement_at_all() -> None:
    for status in ("timeout", "error", "empty"):
        found = row(item(answerable=False), "", status)
        assert all(found[name] is None for name in METRICS)
        assert found["status"] == status


def test_an_item_without_documents_is_a_cluster_of_its_own() -> None:
    assert item(7, documents=()).cluster == "item-7"


def test_the_probe_counts_accepted_answers_and_leaves_failures_unmeasured() -> None:
    probe = [ProbeItem("p1", "Capital of France?", ("Paris",)), ProbeItem("p2", "2 + 2?", ("4", "four"))]
    replies = [Reply("It is Paris.", 9, 4, "ok"), Reply("Four, I think", 9, 4, "ok")]
    assert measure_probe(probe, "base", replies)["correct"].to_list() == [1, 1]
    late = [Reply("", 9, 0, "timeout"), Reply("five", 9, 1, "ok")]
    assert measure_probe(probe, "base", late)["correct"].to_list() == [None, 0]


def test_retrieval_is_measured_on_the_items_whose_documents_ought_to_be_found() -> None:
    table = measure_retrieval([item(0), item(1, findable=False), item(2, documents=("d5",))], 2)
    assert table.rows() == [("item-0", 1.0, 0.5), ("item-2", 0.0, 0.0)]


def test_tables_have_their_columns_also_without_rows() -> None:
    assert measure([], "base", []).schema == ROW_SCHEMA
    assert measure_probe([], "base", []).schema == PROBE_SCHEMA
    assert measure_retrieval([], 3).height == 0
