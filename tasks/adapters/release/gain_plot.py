"""Pictures of the release note as inline SVG: a metric's gain, interval and limit, the axis below, a share's bar.

All metrics share one axis, so that their gains compare by eye. Colour never says anything that words do not say too.
"""

import re
from collections.abc import Sequence

from markupsafe import Markup

from tasks.core.release.verdict import Finding, spread

WIDTH, HEIGHT, PAD = 340, 30, 14
REACHES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 2.0)
INK, GREY, BLUE, TROUGH = "#1c2330", "#b9c1cf", "#5b7db1", "#edf0f5"
COLOURS = {"held": "#1b7f4d", "violated": "#b3261e", "unclear": "#8a5a00", "unmeasured": "#8b94a5"}


def minus(text: str) -> str:
    """Return the text with typographic minus signs before its numbers."""
    return re.sub(r"-(?=\d)", "−", text)


def axis_reach(findings: Sequence[Finding]) -> float:
    """Return the gain at the ends of the common axis: all intervals and limits fit."""
    values = [value for f in findings for value in (f.comparison.low, f.comparison.high, f.limit) if value is not None]
    most = max(abs(value) for value in values)
    return next(reach for reach in REACHES if reach >= min(most * 1.05, REACHES[-1]))


def plot(finding: Finding, reach: float) -> Markup:
    """Return the picture of one metric: zero line, dashed limit, interval and measured gain."""
    c, middle, colour = finding.comparison, HEIGHT / 2, COLOURS[finding.state]
    marks = [_line(_x(0, reach), GREY, ""), _line(_x(finding.limit, reach), INK, ' stroke-dasharray="4 3"')]
    if c.low is None or c.high is None or c.gain is None:
        words = "not measured"
        marks.append(f'<text x="{WIDTH / 2}" y="{middle + 4}" text-anchor="middle">{words}</text>')
    else:
        low, high, gain = (_x(value, reach) for value in (c.low, c.high, c.gain))
        width = max(high - low, 2)
        marks.append(
            f'<rect x="{low}" y="{middle - 4}" width="{width:.1f}" height="8" rx="4" fill="{colour}" opacity=".35"/>'
        )
        marks.append(f'<circle cx="{gain}" cy="{middle}" r="5.5" fill="{colour}"/>')
        words = minus(f"gain {spread(c)}")
    label = Markup.escape(f"{finding.label}: {words}")
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}"><title>{label}</title>'
    return Markup(f"{head}{''.join(marks)}</svg>")  # noqa: S704 (its texts are escaped)


def axis(reach: float) -> Markup:
    """Return the axis below the pictures, in points."""
    gains = (-reach, -reach / 2, 0.0, reach / 2, reach)
    words = [minus(f"{100 * gain:+.0f}") if gain else "0" for gain in gains]
    marks = [
        f'<text x="{_x(gain, reach)}" y="12" text-anchor="middle">{word}</text>'
        for gain, word in zip(gains, words, strict=True)
    ]
    return Markup(f'<svg viewBox="0 0 {WIDTH} 16" aria-hidden="true">{"".join(marks)}</svg>')  # noqa: S704 (its texts are escaped)


def bar(share: float) -> Markup:
    """Return a bar that is filled by `share`, with its percentage."""
    trough = f'<rect width="300" height="14" rx="3" fill="{TROUGH}"/>'
    filled = f'<rect width="{300 * share:.1f}" height="14" rx="3" fill="{BLUE}"/>'
    text = f'<text x="308" y="11.5">{100 * share:.0f} %</text>'
    return Markup(f'<svg viewBox="0 0 360 14" aria-hidden="true">{trough}{filled}{text}</svg>')  # noqa: S704 (its texts are escaped)


def _x(gain: float, reach: float) -> float:
    return round(WIDTH / 2 + gain / reach * (WIDTH / 2 - PAD), 1)


def _line(x: float, colour: str, style: str) -> str:
    return f'<line x1="{x}" y1="1" x2="{x}" y2="{HEIGHT - 1}" stroke="{colour}" stroke-width="1.5"{style}/>'
