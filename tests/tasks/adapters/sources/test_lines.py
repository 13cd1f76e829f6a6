"""Lines read with a bound."""

import io
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.adapters.sources.lines import KEPT_OF_LONG_LINE, bounded_lines


def test_lines_are_numbered_and_blank_ones_left_out() -> None:
    lines = list(bounded_lines(io.BytesIO(b"one\r\n\n  \ntwo\nthree"), 100))
    assert [(line.number, line.data) for line in lines] == [(1, b"one"), (4, b"two"), (5, b"three")]


def test_a_long_line_is_cut_and_the_next_one_read() -> None:
    lines = list(bounded_lines(io.BytesIO(b"a\n" + b"x" * 9000 + b"\nb\n" + b"y" * 6000), 5000))
    assert [(line.number, line.num_bytes, line.is_too_long) for line in lines] == [
        (1, 1, False),
        (2, 9000, True),
        (3, 1, False),
        (4, 6000, True),
    ]
    assert lines[1].data == b"x" * KEPT_OF_LONG_LINE


@pytest.mark.parametrize("length", [9, 10])
def test_a_line_of_just_the_limit_is_whole(length: int) -> None:
    assert not next(bounded_lines(io.BytesIO(b"x" * length + b"\n"), 10)).is_too_long


def test_a_line_of_fifty_megabytes_costs_only_the_limit() -> None:
    stream = io.BytesIO(b"x" * 50_000_000 + b"\nnext\n")
    tracemalloc.start()
    lines = list(bounded_lines(stream, 1_000_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [line.num_bytes for line in lines] == [50_000_000, 4]
    assert peak < 8_000_000


@given(
    st.lists(st.binary(max_size=30).map(lambda data: data.replace(b"\n", b"").replace(b"\r", b""))), st.integers(5, 40)
)
def test_no_line_is_lost(lines: list[bytes], limit: int) -> None:
    read = list(bounded_lines(io.BytesIO(b"\n".join(lines)), limit))
    wanted = [(number, len(line)) for number, line in enumerate(lines, 1) if line.strip() or len(line) > limit]
    assert [(line.number, line.num_bytes) for line in read] == wanted
