import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.core.monitoring.drift import decide
from tasks.core.monitoring.drift_config import Column, DriftConfig
from tasks.core.monitoring.drift_verdict import DriftVerdict

CONFIG = DriftConfig(
    columns={
        "question": Column(kind="embedding"),
        "score": Column(kind="number"),
        "language": Column(kind="category"),
    },
    min_rows=100,
    max_vectors=200,
)
SCALARS = CONFIG.model_copy(update={"columns": {name: CONFIG.columns[name] for name in ("score", "language")}})


def records(seed: int, rows: int = 400, new_share: float = 0.0, score: float = 0.0) -> pl.DataFrame:
    """Return records, of which a share has a question of another topic and another language."""
    rng = np.random.default_rng(seed)
    is_new = rng.random(rows) < new_share
    questions = rng.normal(size=(rows, 8)) * 0.3 + np.where(is_new[:, None], 1.0, 0.0)
    return pl.DataFrame(
        {
            "question": questions.astype(np.float32),
            "score": rng.normal(score, 1, rows),
            "language": np.where(is_new, "ja", rng.choice(["en", "de"], rows)),
            "user": [f"user-{row}" for row in range(rows)],
        }
    )


def finding(verdict: DriftVerdict, column: str, aspect: str = "values"):
    return next((found for found in verdict.findings if (found.column, found.aspect) == (column, aspect)), None)


def test_unchanged_traffic_is_none_with_its_rows():
    verdict = decide(records(0), records(1), CONFIG)
    assert verdict.outcome == "NONE"
    assert verdict.headline == "The traffic is as it was: 400 rows against 400 of the reference."
    assert verdict.reasons == []


def test_a_new_topic_is_suspected_at_first_and_confirmed_when_it_stays():
    first = decide(records(0), records(1, new_share=0.3), CONFIG)
    assert first.outcome == "SUSPECTED"
    assert {found.column for found in first.findings if found.state == "suspected"} == {"question", "language"}
    second = decide(records(0), records(2, new_share=0.3), CONFIG, [first])
    assert second.outcome == "CONFIRMED"
    assert "has changed in question, language" in second.headline
    assert "'ja' went from 0.0 to" in " ".join(second.reasons)


def test_what_the_reference_cannot_know_is_compared_with_other_rows():
    reference = records(0).with_columns(score=pl.lit(None, dtype=pl.Float64))
    window = records(1, score=1.0)
    unknown = decide(reference, window, CONFIG, column_references={"score": records(5).head(0)})
    assert finding(unknown, "score").state == "unmeasured"
    assert finding(unknown, "score", "missing") is None
    known = decide(reference, window, CONFIG, column_references={"score": records(5)})
    assert finding(known, "score").state == "suspected"
    assert finding(known, "question").state == "steady"


def test_a_change_that_goes_away_is_not_confirmed():
    first = decide(records(0), records(1, new_share=0.3), CONFIG)
    assert decide(records(0), records(2), CONFIG, [first]).outcome == "NONE"
    between = decide(records(0), records(2), CONFIG, [first])
    assert decide(records(0), records(3, new_share=0.3), CONFIG, [first, between]).outcome == "SUSPECTED"


def test_a_change_in_another_column_does_not_confirm_the_first():
    first = decide(records(0), records(1, score=1.0), CONFIG)
    second = decide(records(0), records(2, new_share=0.5), CONFIG, [first])
    assert finding(first, "score").state == "suspected"
    assert second.outcome == "SUSPECTED"


def test_as_many_windows_confirm_as_the_config_says():
    config = CONFIG.model_copy(update={"confirmations": 2})
    history = []
    for seed in (1, 2, 3):
        history.append(decide(records(0), records(seed, score=1.0), config, history))
    assert [verdict.outcome for verdict in history] == ["SUSPECTED", "SUSPECTED", "CONFIRMED"]
    at_once = CONFIG.model_copy(update={"confirmations": 0})
    assert decide(records(0), records(1, score=1.0), at_once).outcome == "CONFIRMED"


def test_a_window_with_too_few_rows_decides_nothing_and_interrupts_nothing():
    first = decide(records(0), records(1, score=1.0), CONFIG)
    few = decide(records(0), records(2, rows=99, score=1.0), CONFIG, [first])
    assert few.outcome == "TOO_FEW_ROWS"
    assert few.headline == "Not enough rows to decide: the window has 99, at least 100 are needed."
    assert decide(records(0), records(3, score=1.0), CONFIG, [first, few]).outcome == "CONFIRMED"
    assert decide(records(0, rows=50), records(1), CONFIG).outcome == "TOO_FEW_ROWS"


def test_a_change_too_small_to_matter_is_none_however_many_rows_show_it():
    reference, window = records(0, rows=60_000), records(1, rows=60_000, score=0.05)
    verdict = decide(reference, window, SCALARS)
    assert finding(verdict, "score").p < 1e-6
    assert verdict.outcome == "NONE"
    careful = SCALARS.model_copy(update={"columns": {"score": Column(kind="number", floor=0.01)}})
    assert decide(reference, window, careful).outcome == "SUSPECTED"


def test_the_second_look_at_a_suspected_column_is_not_corrected_for_the_others():
    """The window's p-value of a column that alone was suspected lies between the level of one test and of many."""
    columns = {f"score-{number}": Column(kind="number", floor=0.0) for number in range(40)}
    config = DriftConfig(columns=columns, min_rows=100)
    rng = np.random.default_rng(0)
    reference = pl.DataFrame({name: rng.normal(size=400) for name in columns})
    first = decide(reference, reference.with_columns(pl.col("score-7") + 1.0), config)
    for shift in np.arange(0.1, 0.5, 0.01):
        window = reference.with_columns(pl.col("score-7") + shift)
        p = finding(decide(reference, window, config), "score-7").p
        if 0.02 / 40 < p < 0.02:
            assert decide(reference, window, config).outcome == "NONE"
            assert decide(reference, window, config, [first]).outcome == "CONFIRMED"
            return
    pytest.fail("no shift gave a p-value between the two levels")


@pytest.mark.parametrize("gone", [None, float("nan"), float("inf")])
def test_what_is_missing_is_compared_as_a_share_and_never_as_zero(gone):
    reference, window = records(0), records(1)
    is_lost = pl.int_range(pl.len()) < 100
    window = window.with_columns(pl.when(is_lost).then(pl.lit(gone)).otherwise(pl.col("score")).alias("score"))
    verdict = decide(reference, window, SCALARS)
    assert finding(verdict, "score").state == "steady"
    assert finding(verdict, "score").values == (400, 300)
    assert finding(verdict, "score", "missing").state == "suspected"
    assert "missing in 25.0 % of the rows, before in 0.0 %" in verdict.reasons[0]


def test_a_column_that_vanished_is_a_change_and_one_that_never_was_is_none():
    vanished = decide(records(0), records(1).drop("score"), SCALARS)
    assert finding(vanished, "score").state == "unmeasured"
    assert finding(vanished, "score", "missing").state == "suspected"
    never = decide(records(0).drop("score"), records(1).drop("score"), SCALARS)
    assert never.outcome == "NONE"
    assert finding(never, "score", "missing") is None
    assert "Answer quality was not compared: 0 values in the reference, 0 in the window." in never.reasons


def test_vectors_of_another_embedder_are_not_compared():
    other = records(1).with_columns(pl.Series("question", np.ones((400, 5), np.float32)))
    found = finding(decide(records(0), other, CONFIG), "question")
    assert found.state == "unmeasured"
    assert "of 8 and 5 dimensions" in found.sentence


def test_a_user_with_a_hundred_requests_counts_once_where_users_are_known():
    window = pl.concat([records(1), *[records(2, rows=1, score=9.0)] * 200])
    loud = SCALARS.model_copy(update={"key": "user"})
    assert decide(records(0), window, SCALARS).outcome == "SUSPECTED"
    verdict = decide(records(0), window, loud)
    assert verdict.outcome == "NONE"
    assert verdict.rows == (400, 400)


def test_the_same_windows_give_the_same_verdict():
    reference, window = records(0, rows=500), records(1, rows=500, new_share=0.05)
    assert decide(reference, window, CONFIG) == decide(reference, window, CONFIG)


def test_a_verdict_survives_being_written_and_read():
    for window in (records(1, new_share=0.3), records(1, rows=10)):
        verdict = decide(records(0), window, CONFIG)
        assert DriftVerdict.model_validate_json(verdict.model_dump_json()) == verdict


@pytest.mark.parametrize("wrong", [{"columns": {}}, {"false_alarms": 0}, {"min_rows": 1}, {"treshold": 1}])
def test_rules_that_decide_nothing_or_hold_a_typo_are_refused(wrong):
    with pytest.raises(ValidationError):
        DriftConfig(**wrong)


_ODD = st.sampled_from(
    [
        pl.Series([None] * 150),
        pl.Series([float("nan")] * 150),
        pl.Series(["x"] * 150),
        pl.Series([0.0] * 150),
        pl.Series([True] * 150),
        pl.Series([[1.0, 2.0]] * 150),
        pl.Series([1, None, 3] * 50),
    ]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_ODD, min_size=6, max_size=6))
def test_whatever_the_columns_hold_there_is_a_verdict_and_no_warning(series):
    names = list(CONFIG.columns)
    reference, window = (pl.DataFrame(dict(zip(names, part, strict=True))) for part in (series[:3], series[3:]))
    verdict = decide(reference, window, CONFIG)
    assert verdict.outcome in ("NONE", "SUSPECTED")
    assert all(found.p is None or 0 <= found.p <= 1 for found in verdict.findings)


def test_unchanged_windows_are_rarely_suspected():
    outcomes = [decide(records(seed), records(10_000 + seed), SCALARS).outcome for seed in range(400)]
    assert np.mean([outcome != "NONE" for outcome in outcomes]) <= 0.035
