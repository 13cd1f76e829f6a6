"""Suites kept as JSON, checked by the real Great Expectations."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tasks.adapters.curation.expectations import check, load_suite, require
from tasks.core.errors import ConfigError, DataError

FRAME = pl.DataFrame({"length": [5, 50, 0, 7], "is_good": [True, True, False, True], "share": [None, 0.0, 1.0, None]})
FIELDS = pl.DataFrame({"field": ["id: string", "text: int64"]})


def line(type_: str, severity: str = "warning", frame: str = "records", **kwargs: Any) -> dict[str, Any]:
    """Return one line of a suite."""
    meta = {"reason": f"bad {kwargs.get('column', type_)}", "frame": frame}
    return {"type": type_, "kwargs": kwargs, "severity": severity, "description": f"{type_} holds.", "meta": meta}


def write(path: Path, *lines: dict[str, Any]) -> Path:
    """Write a suite of `lines`."""
    path.write_text(json.dumps({"name": "test", "expectations": lines}))
    return path


BETWEEN = line("expect_column_values_to_be_between", column="length", min_value=1, max_value=10)
IN_SET = line("expect_column_values_to_be_in_set", column="is_good", value_set=[True])
COUNT = line("expect_table_row_count_to_be_between", "critical", min_value=5)
MEAN = line("expect_column_mean_to_be_between", "critical", column="share", max_value=0.6)
SCHEMA = line(
    "expect_column_distinct_values_to_equal_set",
    "critical",
    "schema",
    column="field",
    value_set=["id: string", "x: bool"],
)


def test_each_outcome_names_its_bad_rows_in_the_suites_order(tmp_path: Path) -> None:
    suite = load_suite(write(tmp_path / "s.json", COUNT, BETWEEN, SCHEMA, IN_SET, MEAN))
    outcomes = check("test", suite, {"records": FRAME, "schema": FIELDS})
    assert [outcome.expectation for outcome in outcomes] == suite
    assert [outcome.success for outcome in outcomes] == [False, False, False, False, True]
    assert [outcome.rows for outcome in outcomes] == [[], [1, 2], [], [2], []]
    observed = [outcome.observed for outcome in outcomes]
    assert observed == ["4", "2 of 4 rows", "missing x: bool; unexpected text: int64", "1 of 4 rows", "0.5"]


def test_only_the_expectations_of_the_given_frames_are_checked(tmp_path: Path) -> None:
    suite = load_suite(write(tmp_path / "s.json", BETWEEN, SCHEMA))
    assert [outcome.expectation.meta.frame for outcome in check("test", suite, {"schema": FIELDS})] == ["schema"]


def test_a_failed_critical_expectation_is_a_data_error_and_a_warning_is_not(tmp_path: Path) -> None:
    suite = load_suite(write(tmp_path / "s.json", BETWEEN, COUNT))
    outcomes = check("test", suite, {"records": FRAME})
    require(outcomes[:1], "documents", "here")
    with pytest.raises(DataError, match=r"The documents fail a critical expectation: .* Observed: 4; look at here\."):
        require(outcomes, "documents", "here")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no expectation suite"),
        ("[]", "is no expectation suite"),
        ('{"expectations": [{"type": "x"}]}', "is no expectation suite"),
        (json.dumps({"expectations": [{**BETWEEN, "severity": "fatal"}]}), "an expectation's severity is wrong"),
        (json.dumps({"expectations": [{**BETWEEN, "meta": {}}]}), r"an expectation's meta\.reason is wrong"),
    ],
)
def test_a_suite_that_cannot_be_read_is_a_config_error(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(ConfigError, match=message):
        load_suite(tmp_path / "s.json")


def test_a_missing_suite_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is missing"):
        load_suite(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (line("expect_the_unexpected", column="length"), "not valid"),
        (line("expect_column_values_to_be_between", column="width", min_value=1), "cannot be checked"),
        (line("expect_column_values_to_be_in_set", column="length"), "not valid"),
    ],
)
def test_an_expectation_that_does_not_fit_is_a_config_error(
    tmp_path: Path, wrong: dict[str, Any], message: str
) -> None:
    suite = load_suite(write(tmp_path / "s.json", wrong))
    with pytest.raises(ConfigError, match=message):
        check("test", suite, {"records": FRAME})


@pytest.mark.parametrize("name", ["documents", "conversations"])
def test_the_shipped_suites_can_be_read_and_say_what_they_expect(repository: Path, name: str) -> None:
    suite = load_suite(repository / f"configs/curate/expectations/{name}.json")
    assert len(suite) >= 10
    assert all(outcome.description.endswith(".") for outcome in suite)
    assert len({outcome.meta.reason for outcome in suite}) == len(suite)
