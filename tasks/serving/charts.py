"""Small pictures of the dashboard as inline SVG: bars or a line over the hours, and a bar of shares.

A value that is None leaves a gap: nothing was measured, which is not zero. Colour says nothing that words do not say
too. Pictures stretch to their tile; strokes keep their width.
"""

from collections.abc import Sequence

from markupsafe import Markup, escape

WIDTH, HEIGHT, TOP = 240.0, 54.0, 4.0
GAP = 0.25  # of a bar's place
FLAT = 1.5  # height of a bar that stands for zero: measured, and nothing there

Values = Sequence[float | None]


def bars(values: Values, words: str) -> Markup:
    """Return a bar for each value, from zero up. words: what a person who cannot see it is told."""
    place = WIDTH / max(len(values), 1)
    marks = [
        f'<rect x="{place * (n + GAP / 2):.1f}" y="{HEIGHT - height:.1f}" width="{place * (1 - GAP):.1f}" '
        f'height="{height:.1f}" fill="var(--mark)"/>'
        for n, height in _heights(values)
    ]
    return _picture(marks, words)


def line(values: Values, words: str) -> Markup:
    """Return a line through the values, broken where there is none; a lonely value is a dot."""
    step = WIDTH / max(len(values) - 1, 1)
    marks, run = [], ""
    known = dict(_heights(values))
    for n in range(len(values) + 1):
        if n in known:
            run += f"{'L' if run else 'M'}{step * n:.1f} {HEIGHT - known[n]:.1f}"
        elif run:
            marks.append(
                f'<path d="{run}{"" if "L" in run else "h0.01"}" fill="none" stroke="var(--mark)" stroke-width="2.5" '
                'stroke-linecap="round" stroke-linejoin="round" vector-effect="non-scaling-stroke"/>'
            )
            run = ""
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
    return Markup(
        f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" preserveAspectRatio="none" role="img" aria-label="{escape(words)}">'
        f"{ground}{''.join(marks)}</svg>"
    )
