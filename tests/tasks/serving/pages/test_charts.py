"""Pictures: as tall as their values, a gap where nothing was measured, and words for whoever cannot see them."""

import re
from xml.etree import ElementTree

import pytest

from tasks.serving.pages import charts

SVG = "rect"


def rects(picture: str) -> list[dict[str, float]]:
    return [
        {name: float(value) for name, value in mark.attrib.items() if name != "fill"}
        for mark in ElementTree.fromstring(picture).iter(SVG)
    ]


def test_a_bar_is_as_tall_as_its_value_and_an_unmeasured_hour_has_none() -> None:
    found = rects(charts.bars([1.0, None, 2.0, 0.0], "words"))
    assert len(found) == 3
    assert found[1]["height"] == pytest.approx(2 * found[0]["height"])
    assert 0 < found[2]["height"] < 2
    assert found[1]["x"] > 2 * found[0]["x"]
    assert all(bar["y"] + bar["height"] == pytest.approx(charts.HEIGHT) for bar in found)


def test_nothing_measured_is_an_empty_picture() -> None:
    for values in ([], [None, None]):
        assert rects(charts.bars(values, "none")) == []


def test_shares_divide_one_bar() -> None:
    found = rects(charts.shares([30, 10], "three of four"))
    assert [bar["width"] for bar in found] == [180, 60]
    assert found[1]["x"] == 180


def test_words_cannot_leave_their_attribute() -> None:
    picture = charts.bars([1.0], '"><script>alert(1)</script>')
    assert ElementTree.fromstring(picture).attrib["aria-label"] == '"><script>alert(1)</script>'
    assert not re.search("<script", picture)
