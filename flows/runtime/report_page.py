"""Render a stage's report as a Markdown artifact for Prefect: a table, with links to pictures and pages."""

from collections.abc import Iterator, Mapping
from pathlib import Path

PICTURES = ("*.png", "*.html")


def report_page(stage: str, outcome: str, report: Mapping[str, object], folder: Path) -> str:
    """Return Markdown: what the step did, its counts, and the pictures and pages in `folder`."""
    lines = [f"## {stage}: {outcome}", "", "| count | value |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in _flatten(report)]
    pages = sorted(path for pattern in PICTURES for path in folder.glob(pattern))
    lines += ["", *(f"- [{path.name}]({path.absolute().as_uri()})" for path in pages)]
    return "\n".join(lines)


def _flatten(report: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in report.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", f"{value:.4g}" if isinstance(value, float) else str(value)
