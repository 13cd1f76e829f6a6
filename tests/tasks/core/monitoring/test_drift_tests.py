import polars as pl

from tasks.core.monitoring.drift_tests import vectors


def test_vectors_are_read_from_lists_and_arrays_without_the_damaged_ones():
    rows = [[1.0, 2.0], None, [3.0, float("nan")], [5.0, 6.0]]
    for dtype in (pl.List(pl.Float64), pl.Array(pl.Float32, 2)):
        assert vectors(pl.Series(rows, dtype=dtype)).tolist() == [[1.0, 2.0], [5.0, 6.0]]
    assert len(vectors(pl.Series([[1.0], [2.0, 3.0]]))) == 0
    assert len(vectors(pl.Series(["a"]))) == 0
