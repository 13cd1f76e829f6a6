from typing import Any

from tasks.core.release.golden_questions import Golden, draw_golden, holds


def row(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "item_id": f"i{number}", "cluster": f"d{number}", "question": f"Question {number}?", "reference": f"R {number}",
        "answer": f"It is r  {number}.", "status": "ok", "answerable": True, **changes,
    }  # fmt: skip


def test_what_was_answered_rightly_is_drawn_and_nothing_else() -> None:
    rows = [
        row(1),
        row(2, answer="Something else."),
        row(3, answerable=False),
        row(4, status="timeout"),
        row(5, reference=" "),
        row(6, reference=None),
    ]
    assert draw_golden(rows, 8) == [Golden(question="Question 1?", holds="R 1")]


def test_the_same_rows_give_the_same_questions_one_a_document() -> None:
    rows = [row(number, cluster=f"d{number // 2}") for number in range(40)]
    drawn = draw_golden(rows, 8)
    assert len(drawn) == 8
    assert draw_golden(reversed(rows), 8) == drawn
    assert len({int(golden.holds.split()[1]) // 2 for golden in drawn}) == 8
    assert draw_golden(rows, 0) == []


def test_case_and_spacing_do_not_matter_and_an_empty_expectation_is_never_held() -> None:
    assert holds("The  Default is NONE.", "default is none")
    assert not holds("anything", "  ")
    assert not holds("", "x")
