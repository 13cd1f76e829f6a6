"""The charts of the drift page as inline SVG: the distribution of each column, and a map of the questions (numpy).

Grey is the reference, blue the window, orange the drifted questions. The text says all that colour says.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from markupsafe import Markup

from tasks.core.monitoring.drift_tests import vectors
from tasks.core.statistics.two_sample import Floats

WIDTH, HEIGHT = 340, 96
MAP_WIDTH, MAP_HEIGHT = 680, 320
BINS = 24
MAX_POINTS = 600
GREY, BLUE, ORANGE = "#9aa5b8", "#2f6fb5", "#d9730d"
Mask = Sequence[int]


def numbers(reference: pl.Series, window: pl.Series) -> Markup:
    """Return two histograms over one axis, which covers the middle 99 % of the values."""
    sides = [_finite(series) for series in (reference, window)]
    if not all(side.size for side in sides):
        return _words("not measured on both sides")
    low, high = (float(np.quantile(np.concatenate(sides), q)) for q in (0.005, 0.995))
    if low == high:
        low, high = low - 0.5, high + 0.5
    shares = [np.histogram(np.clip(side, low, high), BINS, (low, high))[0] / side.size for side in sides]
    top = max(float(share.max()) for share in shares)
    bars = [_bars(shares[0], top, GREY, 0.55), _outline(shares[1], top, BLUE)]
    return _svg(WIDTH, HEIGHT, [*bars, *_ends(f"{low:.3g}", f"{high:.3g}")], "before grey, now blue")


def categories(reference: pl.Series, window: pl.Series) -> Markup:
    """Return a pair of bars per category: its share before and now."""
    sides = [series.drop_nulls().cast(pl.String) for series in (reference, window)]
    if not all(side.len() for side in sides):
        return _words("not measured on both sides")
    names = sorted(set(sides[0].unique()) | set(sides[1].unique()))[:4]
    marks = []
    for row, name in enumerate(names):
        for number, (side, colour) in enumerate(zip(sides, (GREY, BLUE), strict=True)):
            share = float((side == name).sum()) / side.len()
            y = 6 + row * 40 + number * 15
            marks.append(f'<rect x="60" y="{y}" width="{200 * share:.1f}" height="12" rx="2" fill="{colour}"/>')
            marks.append(f'<text x="{66 + 200 * share:.1f}" y="{y + 10}">{100 * share:.1f} %</text>')
        marks.append(f'<text x="0" y="{20 + row * 40}">{Markup.escape(name)}</text>')
    return _svg(WIDTH, 12 + 40 * len(names), marks, "before grey, now blue")


def question_map(reference: pl.Series, window: pl.Series, drifted: Mask) -> Markup:
    """Return a scatter plot of the questions on their first two principal components."""
    old, new = vectors(reference), vectors(window)
    if len(old) < 2 or len(new) < 2 or old.shape[1] != new.shape[1] or len(new) != window.len():
        return _words("the questions' meaning was not compared")
    is_drifted = np.isin(np.arange(len(new)), list(drifted))
    groups = [(_some(old), GREY, 0.5), (_some(new[~is_drifted]), BLUE, 0.6), (_some(new[is_drifted]), ORANGE, 0.9)]
    everything = np.concatenate([group for group, _, _ in groups])
    middle = everything.mean(axis=0)
    axes = np.linalg.svd(everything - middle, full_matrices=False)[2][:2]
    flat = (everything - middle) @ axes.T
    reach = np.abs(flat).max(axis=0) + 1e-9
    marks = []
    for group, colour, opacity in groups:
        for x, y in ((group - middle) @ axes.T) / reach:
            place = f'cx="{MAP_WIDTH / 2 * (1 + 0.96 * x):.0f}" cy="{MAP_HEIGHT / 2 * (1 + 0.94 * y):.0f}"'
            marks.append(f'<circle {place} r="2.6" fill="{colour}" opacity="{opacity}"/>')
    return _svg(MAP_WIDTH, MAP_HEIGHT, marks, "questions: before grey, now blue, drifted orange")


def _some(rows: np.ndarray) -> np.ndarray:
    return rows[:: max(-(-len(rows) // MAX_POINTS), 1)]


def _finite(series: pl.Series) -> Floats:
    values: Floats = series.drop_nulls().cast(pl.Float64).to_numpy()
    return np.extract(np.isfinite(values), values)


def _bars(shares: np.ndarray, top: float, colour: str, opacity: float) -> str:
    step = WIDTH / BINS
    return "".join(
        f'<rect x="{i * step:.1f}" y="{_y(share, top):.1f}" width="{step - 1:.1f}" '
        f'height="{HEIGHT - 16 - _y(share, top):.1f}" fill="{colour}" opacity="{opacity}"/>'
        for i, share in enumerate(shares)
    )


def _outline(shares: np.ndarray, top: float, colour: str) -> str:
    step = WIDTH / BINS
    corners = " ".join(f"{i * step:.1f},{y:.1f} {(i + 1) * step:.1f},{y:.1f}" for i, y in enumerate(_ys(shares, top)))
    return f'<polyline points="{corners}" fill="none" stroke="{colour}" stroke-width="2"/>'


def _ys(shares: np.ndarray, top: float) -> list[float]:
    return [_y(share, top) for share in shares]


def _y(share: float, top: float) -> float:
    return (HEIGHT - 18) * (1 - float(share) / top) + 2


def _ends(low: str, high: str) -> list[str]:
    y = HEIGHT - 3
    return [f'<text x="0" y="{y}">{low}</text>', f'<text x="{WIDTH}" y="{y}" text-anchor="end">{high}</text>']


def _words(text: str) -> Markup:
    return _svg(WIDTH, 24, [f'<text x="0" y="16">{Markup.escape(text)}</text>'], text)


def _svg(width: int, height: int, marks: Sequence[str], label: str) -> Markup:
    head = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{Markup.escape(label)}">'
    return Markup(f"{head}{''.join(marks)}</svg>")  # noqa: S704 (its texts are escaped)
