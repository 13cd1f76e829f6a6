"""Expectation suites kept as JSON, checked against frames of numbers (Great Expectations).

A suite is the JSON that Great Expectations writes, ids left out. `severity` says what a failure means: `critical`
stops the run, `warning` puts the failing rows aside, `info` is only reported. `meta.reason` is the short name a bad
row gets, `meta.frame` which frame the expectation reads. Results hold counts and row numbers, never a value of a
record.
"""

import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.core.errors import ConfigError, DataError

RECORDS, SCHEMA = "records", "schema"


class _Meta(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    reason: str
    frame: str = RECORDS


class Expectation(BaseModel):
    """One line of a suite."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: str
    arguments: dict[str, Any]
    """The JSON calls them kwargs."""
    severity: str = Field(pattern="critical|warning|info")
    description: str
    meta: _Meta


class Outcome(BaseModel):
    """What came of an expectation; `rows` are the numbers of the records that failed it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    expectation: Expectation
    success: bool
    observed: str
    rows: list[int]


def load_suite(path: Path) -> list[Expectation]:
    """Return the suite in `path`. Raises ConfigError that names the file and the line of the suite."""
    try:
        lines = json.loads(path.read_text(encoding="utf-8"))["expectations"]
        return [Expectation.model_validate({**line, "arguments": line["kwargs"]}) for line in lines]
    except FileNotFoundError:
        raise ConfigError(f"The suite {path} is missing: restore it from the repository.") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{path}: an expectation's {place} is wrong ({first['msg'].lower()}): correct it.") from None
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{path} is no expectation suite: write JSON with a list 'expectations'.") from None


def check(name: str, suite: Sequence[Expectation], frames: Mapping[str, pl.DataFrame]) -> list[Outcome]:
    """Return the outcome of each expectation of `suite` whose frame is among `frames`, in the suite's order.

    Raises ConfigError for an expectation that does not fit its frame.
    """
    outcomes = []
    for frame, data in frames.items():
        chosen = [line for line in suite if line.meta.frame == frame]
        outcomes += _validate(f"{name}_{frame}", chosen, data) if chosen else []
    return sorted(outcomes, key=lambda outcome: suite.index(outcome.expectation))


def _validate(name: str, suite: Sequence[Expectation], data: pl.DataFrame) -> list[Outcome]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its imports and pandas use warn about their own future
        import great_expectations as gx
        from great_expectations.data_context.types.base import (
            DataContextConfig,
            InMemoryStoreBackendDefaults,
            ProgressBarsConfig,
        )
        from great_expectations.exceptions.exceptions import GreatExpectationsError

        logging.getLogger("great_expectations").setLevel(logging.WARNING)
        configuration = DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
            progress_bars=ProgressBarsConfig(globally=False),
            analytics_enabled=False,
        )
        context = gx.get_context(mode="ephemeral", project_config=configuration)
        source = context.data_sources.add_pandas(name)
        batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)
        try:
            built = gx.ExpectationSuite(
                name=name, expectations=[_line(number, line) for number, line in enumerate(suite)]
            )
        except (GreatExpectationsError, ValidationError, ValueError) as error:
            raise ConfigError(f"Suite {name} holds an expectation that is not valid: {_first_line(error)}.") from None
        _refuse_left_out(name, suite, [(found.meta or {}).get("n") for found in built.expectations])
        result = batch.get_batch({"dataframe": data.to_pandas()}).validate(built, result_format="COMPLETE")
    by_number = {found.expectation_config.meta["n"]: found for found in result.results if found.expectation_config}
    return [_outcome(name, line, by_number[number]) for number, line in enumerate(suite)]


def _refuse_left_out(name: str, suite: Sequence[Expectation], built: Sequence[object]) -> None:
    """Great Expectations logs an expectation it cannot build and goes on without it: that must not pass for success."""
    for number, line in enumerate(suite):
        if number not in built:
            raise ConfigError(f"Suite {name}: {line.type} with kwargs {line.arguments} is not valid: correct it.")


def _line(number: int, line: Expectation) -> dict[str, Any]:
    meta = {"n": number}  # results come in their own order
    return {
        "type": line.type,
        "kwargs": line.arguments,
        "severity": line.severity,
        "description": line.description,
        "meta": meta,
    }


def _outcome(name: str, line: Expectation, found: Any) -> Outcome:
    problem = _exception(found.exception_info)
    if problem:
        raise ConfigError(
            f"Suite {name}: {line.type} cannot be checked ({problem}); correct its kwargs {line.arguments}."
        )
    rows = [int(row) for row in found.result.get("unexpected_index_list") or ()]
    return Outcome(expectation=line, success=bool(found.success), observed=_observed(found.result), rows=sorted(rows))


def _observed(result: Mapping[str, Any]) -> str:
    """Return in a few characters what was seen: a count of rows, or the aggregate itself."""
    if "element_count" in result:
        return f"{result['unexpected_count']} of {result['element_count']} rows"
    if "partial_missing_list" in result:
        missing, unexpected = sorted(result["partial_missing_list"]), sorted(result["partial_unexpected_list"])
        return f"missing {', '.join(missing) or 'nothing'}; unexpected {', '.join(unexpected) or 'nothing'}"
    value = result.get("observed_value")
    if isinstance(value, (list, tuple, set)):
        return ", ".join(str(item) for item in value)
    return f"{float(value):.4g}" if isinstance(value, float) else str(value)


def _exception(info: Mapping[str, Any]) -> str:
    nested = info if "raised_exception" in info else next(iter(info.values()), {})
    return _first_line(nested.get("exception_message") or "unknown") if nested.get("raised_exception") else ""


def _first_line(error: object) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__


def require(outcomes: Sequence[Outcome], table: str, where: str) -> None:
    """Raise DataError for the first critical expectation that failed."""
    for outcome in outcomes:
        if not outcome.success and outcome.expectation.severity == "critical":
            raise DataError(
                f"The {table} fail a critical expectation: {outcome.expectation.description} "
                f"Observed: {outcome.observed}; look at {where}."
            )
