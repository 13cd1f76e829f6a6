"""Marked texts and the figures made from them."""

from tasks.core.privacy.labelled_spans import LabelledText, measure, parse
from tasks.core.privacy.spans import Span


def test_marks_become_spans_and_leave_the_text() -> None:
    assert parse("to [[EMAIL:a@b.co]], [[SECRET:gh~~p_x]].") == LabelledText(
        "to a@b.co, ghp_x.", (Span(3, 9, "EMAIL"), Span(11, 16, "SECRET"))
    )


def test_a_text_without_marks_is_a_negative() -> None:
    assert parse("x[[1]] is [[ok]]") == LabelledText("x[[1]] is [[ok]]", ())


def test_recall_wants_the_whole_value_and_precision_a_touch() -> None:
    cases = [parse("[[EMAIL:a@b.co]]"), parse("[[EMAIL:c@d.co]]"), parse("none")]
    spans = [[Span(0, 6, "EMAIL")], [Span(1, 6, "EMAIL")], [Span(0, 2, "EMAIL"), Span(2, 4, "IP")]]
    quality = measure(cases, lambda index, text: spans[index])
    assert (quality["EMAIL"].recall, quality["EMAIL"].precision) == (0.5, 0.6667)
    assert (quality["IP"].recall, quality["IP"].precision) == (None, 0.0)


def test_two_spans_may_cover_a_value_together_but_another_class_may_not() -> None:
    case = [parse("[[PERSON:Jane Doe]]")]
    both = [Span(0, 5, "PERSON"), Span(5, 8, "PERSON")]
    assert measure(case, lambda index, text: both)["PERSON"].recall == 1
    assert measure(case, lambda index, text: [Span(0, 8, "EMAIL")])["PERSON"].recall == 0
    assert measure(case, lambda index, text: [])["PERSON"].precision is None
