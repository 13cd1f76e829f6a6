"""The validation report as one HTML file that needs no network (jinja2).

It shows what was expected, what was seen and what was set aside, in counts; no value of a record appears on it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.adapters.curation.expectations import Outcome
from tasks.adapters.html_page import render_page
from tasks.adapters.storage.files import write_text

TEMPLATE = Path(__file__).with_name("validation_page.html")


@dataclass(frozen=True)
class TableResult:
    """What came of one table: its number of rows, the reasons by bad row, the outcomes in the suite's order."""

    name: str
    rows: int
    reasons: dict[int, list[str]]
    outcomes: Sequence[Outcome]

    @property
    def num_bad(self) -> int:
        return len(self.reasons)

    def by_reason(self) -> dict[str, int]:
        """Return how many rows have each reason, most frequent first."""
        counts = Counter(reason for reasons in self.reasons.values() for reason in reasons)
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def write_page(path: Path, results: Sequence[TableResult]) -> None:
    """Write the report for both tables."""
    outcomes = [outcome for result in results for outcome in result.outcomes]
    failed = [outcome for outcome in outcomes if not outcome.success]
    page = render_page(
        TEMPLATE,
        results=results,
        num_expectations=len(outcomes),
        num_failed=len(failed),
        is_stopped=any(outcome.expectation.severity == "critical" for outcome in failed),
    )
    write_text(path, page + "\n")
