"""Small pictures of the dashboard as inline SVG: a bar for each hour, and one bar that is divided by shares.

A value that is None leaves a gap: nothing was measured, which is not zero. Colour says nothing that words do not say
too. Pictures stretch to their tile.
"""

from collections.abc import Sequence

from markupsafe import Markup, escape

WIDTH, HEIGHT, TOP = 240.0, 54.0, 4.0
GAP = 0.25  # of a bar's place
FEWEST = 10  # places, so that a few bars are no wider than many
FLAT = 1.5  # height of a bar that stands for zero: measured, and nothing there

Values = Sequence[float | None]


def bars(values: Values, words: str) -> Markup:
    """Return a bar for each value, from zero up. words: what a person who cannot see it is told."""
    place = WIDTH / max(len(values), FEWEST)
    marks = [
        f'<rect x="{place * (n + GAP / 2):.1f}" y="{HEIGHT - height:.1f}" width="{place * (1 - GAP):.1f}" '
        f'height="{height:.1f}" fill="var(--mark)"/>'
        for n, height in _heights(values)
    ]
    return _picture(marks, words)


def shares(parts: Sequence[float], words: str) -> Markup:
    """Return one bar that is divided as the parts are."""
    whole, at, marks = sum(parts) or 1.0, 0.0, []
    for n, part in enumerate(parts):
        width = WIDTH * part / whole
        fill = "var(--mark)" if n == 0 else "var(--unsure)"
        marks.append(f'<rect x="{at:.1f}" y="20" width="{width:.1f}" height="16" fill="{fill}"/>')
        at += width
    return _picture(marks, words)


def _heights(values: Values) -> list[tuple[int, float]]:
    most = max((value for value in values if value is not None), default=0.0) or 1.0
    return [(n, max(FLAT, (HEIGHT - TOP) * value / most)) for n, value in enumerate(values) if value is not None]


def _picture(marks: Sequence[str], words: str) -> Markup:
    ground = f'<path d="M0 {HEIGHT}H{WIDTH}" stroke="var(--line)" stroke-width="2" vector-effect="non-scaling-stroke"/>'
    return Markup(  # noqa: S704 (its texts are escaped)
        f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" preserveAspectRatio="none" role="img" aria-label="{escape(words)}">'
        f"{ground}{''.join(marks)}</svg>"
    )
