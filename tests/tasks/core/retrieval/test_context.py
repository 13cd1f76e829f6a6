import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.retrieval.context import answering, holds_answer, training_context
from tasks.core.retrieval.passages import Passage


def passage(document: str, ordinal: int = 0, text: str = "text") -> Passage:
    return Passage(f"{document}-{ordinal:04d}", document, ordinal, text)


DUMPS = passage("d1", 0, "json.dumps(obj, *,\n    indent=None)")
DUMPS_NEXT = passage("d1", 1, "json.dumps\nIf indent is given")
LOADS = passage("d2", 0, "json.loads(s, indent=None)")


def test_evidence_counts_whatever_its_line_breaks() -> None:
    assert holds_answer([LOADS, DUMPS], ["d1"], "obj, *, indent=None")


def test_evidence_in_another_document_does_not_count() -> None:
    assert not holds_answer([LOADS, DUMPS_NEXT], ["d1"], "indent=None")


def test_without_evidence_any_passage_of_the_document_counts() -> None:
    assert holds_answer([DUMPS_NEXT], ["d1"], "")
    assert not holds_answer([LOADS], ["d1"], "")


def test_the_passages_that_answer_come_in_order() -> None:
    assert answering([DUMPS_NEXT, LOADS, DUMPS], ["d1"], "indent") == [DUMPS_NEXT, DUMPS]


def test_a_context_that_holds_the_answer_stands_as_retrieved() -> None:
    retrieved = [LOADS, DUMPS_NEXT, DUMPS]
    assert training_context(retrieved, [DUMPS, DUMPS_NEXT], 2, random.Random(0)) == [LOADS, DUMPS_NEXT]


def test_an_unanswerable_question_keeps_what_retrieval_found() -> None:
    assert training_context([LOADS, DUMPS], [], 3, random.Random(0)) == [LOADS, DUMPS]


@settings(deadline=None)
@given(st.integers(0, 6), st.integers(1, 5), st.integers(0, 1000))
def test_gold_takes_one_place_and_the_others_keep_their_order(found: int, k: int, seed: int) -> None:
    retrieved = [passage(f"r{number}") for number in range(found)]
    context = training_context(retrieved, [DUMPS], k, random.Random(seed))
    others = [p for p in context if p is not DUMPS]
    assert len(context) == min(k, found + 1)
    assert context.count(DUMPS) == 1
    assert others == [p for p in retrieved[:k] if p in others]


def test_gold_lands_in_every_place() -> None:
    retrieved = [passage(f"r{number}") for number in range(3)]
    places = {training_context(retrieved, [DUMPS], 3, random.Random(seed)).index(DUMPS) for seed in range(50)}
    assert places == {0, 1, 2}
