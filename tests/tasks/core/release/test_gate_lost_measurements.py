"""Whatever is lost or damaged among the measurements, it never earns a promotion."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.release.gate import decide
from tests.tasks.core.release.gate_evidence import CONFIG, METRICS, evidence, promoted, replace, set_values

_WRONG = st.sampled_from([None, float("nan"), float("inf"), -0.5, 1.5])
_TABLE_DAMAGE = st.one_of(
    st.tuples(st.just("value"), st.sampled_from(METRICS), _WRONG, st.floats(0, 1)),
    st.tuples(st.just("status"), st.sampled_from(["timeout", "error", None]), st.floats(0, 1)),
    st.tuples(st.just("delete"), st.floats(0, 1)),
    st.tuples(st.just("repeat"), st.floats(0, 1)),
    st.tuples(st.just("drop"), st.sampled_from([*METRICS, "status", "cluster", "answerable", "model", "item_id"])),
)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"min_items": 400}, "120 items; at least 400"),
        ({"min_clusters": 100}, "60 documents; at least 100"),
        ({"min_probe_items": 200}, "100 items; at least 200"),
    ],
)
def test_too_little_evidence_is_inconclusive(change, words):
    verdict = decide(promoted(), CONFIG.model_copy(update=change))
    assert verdict.outcome == "INCONCLUSIVE"
    assert words in " ".join(verdict.reasons)


def test_too_few_items_name_how_many_are_needed():
    assert decide(promoted(), CONFIG.model_copy(update={"min_items": 400})).items_needed == 400


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("model", ["candidate", "champion"])
@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), float("-inf"), 7.0, -1.0])
def test_a_metric_that_was_not_measured_never_promotes(metric, model, value):
    e = promoted()
    assert decide(replace(e, rows=set_values(e.rows, metric, value, model)), CONFIG).outcome == "INCONCLUSIVE"


@pytest.mark.parametrize("column", [*METRICS, "item_id", "model", "status", "cluster", "answerable"])
def test_a_removed_column_never_promotes(column):
    e = promoted()
    assert decide(replace(e, rows=e.rows.drop(column)), CONFIG).outcome == "INCONCLUSIVE"


@pytest.mark.parametrize("column", [*METRICS, "status", "cluster", "answerable", "item_id"])
def test_a_column_of_the_wrong_type_never_promotes(column):
    e = promoted()
    for wrong in (pl.lit(None).alias(column), pl.lit("1").cast(pl.Binary).alias(column)):
        assert decide(replace(e, rows=e.rows.with_columns(wrong)), CONFIG).outcome == "INCONCLUSIVE"


@pytest.mark.parametrize("status", ["timeout", "error", "empty", None, "OK"])
def test_rows_that_did_not_end_well_do_not_count(status):
    e = promoted()
    assert decide(replace(e, rows=set_values(e.rows, "status", status, share=0.06)), CONFIG).outcome == "INCONCLUSIVE"


def test_a_few_lost_answers_count_as_the_worst_and_may_still_promote():
    e = promoted()
    whole, holed = decide(e, CONFIG), decide(replace(e, rows=set_values(e.rows, "score", None, share=0.03)), CONFIG)
    assert holed.outcome == "PROMOTE"
    assert holed.primary.comparison.unmeasured == (3, 0)
    assert holed.primary.comparison.at_least < holed.primary.comparison.gain
    assert holed.primary.comparison.low < whole.primary.comparison.low


def test_lost_answers_alone_do_not_reject():
    e = evidence(-0.1)
    assert decide(replace(e, rows=set_values(e.rows, "score", None, share=0.04)), CONFIG).outcome == "INCONCLUSIVE"


def test_repeated_and_unplanned_rows_never_promote():
    e = promoted()
    for rows in (
        pl.concat([e.rows, e.rows.head(1)]),
        pl.concat([e.rows, e.rows.head(1).with_columns(item_id=pl.lit("x"))]),
    ):
        assert decide(replace(e, rows=rows), CONFIG).outcome == "INCONCLUSIVE"


def test_items_that_no_model_has_rows_for_are_missed_by_their_number():
    e = promoted()
    fewer = e.rows.filter(pl.col("item_id") != "item-00007")
    assert decide(replace(e, rows=fewer, items=None), CONFIG).outcome == "PROMOTE"
    verdict = decide(replace(e, rows=fewer, items=None, num_items=120), CONFIG)
    assert verdict.outcome == "INCONCLUSIVE"
    assert "rows of 119 items; 120 were asked" in verdict.reasons[0]


def test_an_empty_probe_never_promotes():
    e = promoted()
    for probe in (e.probe.clear(), pl.DataFrame(), e.probe.drop("correct"), e.probe.head(0)):
        assert decide(replace(e, probe=probe), CONFIG).outcome == "INCONCLUSIVE"


def test_arms_that_disagree_on_the_document_or_the_context_are_not_compared():
    e = promoted()
    for column, value in (("cluster", "another"), ("answerable", True), ("answerable", None)):
        assert decide(replace(e, rows=set_values(e.rows, column, value)), CONFIG).outcome == "INCONCLUSIVE"


def _damaged(rows: pl.DataFrame, damage: tuple, arms: list[str], chosen: set[str]) -> pl.DataFrame:
    """Return `rows` with one damage done to the chosen items of the chosen arms."""
    kind = damage[0]
    if kind == "drop":
        return rows.drop(damage[1]) if damage[1] in rows.columns else rows
    if "item_id" not in rows.columns or "model" not in rows.columns:
        return rows
    hit = pl.col("item_id").is_in(list(chosen)) & pl.col("model").is_in(arms)
    if kind == "delete":
        return rows.filter(~hit)
    if kind == "repeat":
        return pl.concat([rows, rows.filter(hit)])
    column, value = (damage[1], damage[2]) if kind == "value" else ("status", damage[1])
    if column not in rows.columns:
        return rows
    return rows.with_columns(pl.when(hit).then(pl.lit(value)).otherwise(pl.col(column)).alias(column))


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 60),
    gain=st.sampled_from([-0.5, 0.3, 0.6, 0.9, 1.2, 2.5]),
    damages=st.lists(_TABLE_DAMAGE, min_size=1, max_size=3),
    arms=st.sampled_from([["candidate"], ["champion"], ["candidate", "champion"]]),
    worst_first=st.booleans(),
    share=st.one_of(st.floats(0.01, 0.06), st.floats(0, 1)),
)
def test_no_loss_or_damage_of_measurements_ever_earns_a_promotion(seed, gain, damages, arms, worst_first, share):
    """Also when exactly the items on which the candidate does worst are lost, and few enough to pass for complete."""
    before = evidence(gain, seed)
    wide = before.rows.pivot(on="model", index="item_id", values="score", sort_columns=True)
    order = wide.sort(pl.col("candidate") - pl.col("champion"), descending=not worst_first)["item_id"].to_list()
    chosen = set(order[: max(1, int(share * len(order)))])
    rows = before.rows
    for damage in damages:
        rows = _damaged(rows, damage, arms, chosen)
    after = decide(replace(before, rows=rows), CONFIG)
    if after.outcome == "PROMOTE":
        assert decide(before, CONFIG).outcome == "PROMOTE"


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 30), arms=st.sampled_from([["candidate"], ["candidate", "champion"]]), share=st.floats(0.0, 0.3)
)
def test_no_loss_of_probe_answers_ever_earns_a_promotion(seed, arms, share):
    before = evidence(2.5, seed)
    ids = before.probe.filter(pl.col("model") == "candidate").sort("correct")["item_id"].to_list()
    chosen = set(ids[: max(1, int(share * len(ids)))])
    hit = pl.col("item_id").is_in(list(chosen)) & pl.col("model").is_in(arms)
    lost = before.probe.with_columns(pl.when(hit).then(None).otherwise(pl.col("correct")).alias("correct"))
    for probe in (lost, before.probe.filter(~hit)):
        if decide(replace(before, probe=probe), CONFIG).outcome == "PROMOTE":
            assert decide(before, CONFIG).outcome == "PROMOTE"


@pytest.mark.parametrize("loss", ["null", "status", "deleted"])
def test_losing_the_items_on_which_it_does_worst_helps_no_near_miss(loss):
    near_misses = [e for e in (evidence(1.0, seed) for seed in range(60)) if decide(e, CONFIG).outcome != "PROMOTE"]
    assert len(near_misses) > 10
    for e in near_misses:
        wide = e.rows.pivot(on="model", index="item_id", values="score")
        worst = wide.sort(pl.col("candidate") - pl.col("champion"))["item_id"].head(5).to_list()
        hit = pl.col("item_id").is_in(worst)
        if loss == "deleted":
            rows = e.rows.filter(~hit)
        else:
            column = "score" if loss == "null" else "status"
            rows = e.rows.with_columns(pl.when(hit).then(None).otherwise(pl.col(column)).alias(column))
        assert decide(replace(e, rows=rows), CONFIG).outcome != "PROMOTE"
