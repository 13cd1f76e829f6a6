"""The validation page: readable, self-contained, the same bytes for the same result."""

import re
from pathlib import Path

from tasks.adapters.curation.expectations import Expectation, Outcome
from tasks.adapters.curation.validation_page import TableResult, write_page


def outcome(severity: str, success: bool, rows: list[int]) -> Outcome:
    """Return an outcome of that kind."""
    expectation = Expectation.model_validate(
        {
            "type": "expect_column_values_to_be_between",
            "arguments": {"column": "text_length"},
            "severity": severity,
            "description": f"A {severity} <thing> & more.",
            "meta": {"reason": "text length"},
        }
    )
    return Outcome(expectation=expectation, success=success, observed="12 of 40 rows", rows=rows)


def page(tmp_path: Path, *outcomes: Outcome, reasons: dict[int, list[str]] | None = None) -> str:
    """Return the page for one table of 40 rows."""
    write_page(tmp_path / "report.html", [TableResult("documents", 40, reasons or {}, outcomes)])
    return (tmp_path / "report.html").read_text()


def test_the_page_needs_no_network_and_no_script(tmp_path: Path) -> None:
    html = page(tmp_path, outcome("critical", True, []))
    assert not re.search(r"https?://|<script|<link|@import|url\(", html)


def test_a_clean_table_is_said_in_one_line(tmp_path: Path) -> None:
    html = page(tmp_path, outcome("critical", True, []), outcome("warning", True, []))
    assert "All 2 expectations hold for every record." in html
    assert "Why records were set aside" not in html


def test_reasons_are_counted_most_frequent_first(tmp_path: Path) -> None:
    reasons = {1: ["empty turn"], 4: ["text length", "empty turn"], 9: ["empty turn"]}
    html = page(tmp_path, outcome("warning", False, [1, 4, 9]), reasons=reasons)
    assert "0 of 1 expectations hold" in html
    assert "3 set aside of 40" in html
    assert html.index("empty turn") < html.index("text length")
    assert "3 bad" in html


def test_a_critical_failure_leads_the_page(tmp_path: Path) -> None:
    html = page(tmp_path, outcome("critical", False, []))
    assert "The run stopped" in html
    assert "fails" in html


def test_text_is_escaped(tmp_path: Path) -> None:
    assert "A warning &lt;thing&gt; &amp; more." in page(tmp_path, outcome("warning", True, []))


def test_the_same_result_gives_the_same_bytes(tmp_path: Path) -> None:
    assert page(tmp_path, outcome("info", True, [])) == page(tmp_path, outcome("info", True, []))


def test_an_empty_table_has_a_page(tmp_path: Path) -> None:
    write_page(tmp_path / "report.html", [TableResult("documents", 0, {}, [])])
    assert "0 kept" in (tmp_path / "report.html").read_text()
