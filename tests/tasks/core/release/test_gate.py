import polars as pl
import pytest
from pydantic import ValidationError

from tasks.core.release.gate import Evidence, GateConfig, Guard, decide
from tasks.core.release.verdict import lines
from tests.tasks.core.release.gate_evidence import BENCH, CONFIG, evidence, promoted, replace, set_values


def test_a_better_candidate_is_promoted_with_its_numbers():
    verdict = decide(promoted(), CONFIG)
    assert verdict.reasons == []
    assert verdict.primary.comparison.low > 0
    assert "better than the serving model" in verdict.headline
    assert f"{100 * verdict.primary.comparison.gain:+.1f} points" in verdict.headline
    assert len(lines(verdict)) == 1 + 1 + len(CONFIG.guards)


def test_a_worse_candidate_is_rejected():
    verdict = decide(evidence(-2.5), CONFIG)
    assert verdict.outcome == "REJECT"
    assert verdict.primary.state == "violated"
    assert "got worse" in verdict.reasons[0]


@pytest.mark.parametrize("metric", ["hallucinated", "ungrounded"])
def test_a_better_candidate_that_harms_a_guard_is_rejected(metric):
    e = promoted()
    verdict = decide(replace(e, rows=set_values(e.rows, metric, 1.0)), CONFIG)
    assert verdict.outcome == "REJECT"
    assert verdict.primary.state == "held"
    assert len(verdict.reasons) == 1


def test_a_candidate_that_forgot_general_knowledge_is_rejected():
    e = promoted()
    assert decide(replace(e, probe=set_values(e.probe, "correct", 0)), CONFIG).outcome == "REJECT"


def test_the_same_model_twice_is_inconclusive():
    rows, probe = (table.filter(pl.col("model") == "champion") for table in (evidence(0).rows, evidence(0).probe))
    twice = Evidence(
        *(pl.concat([t, t.with_columns(pl.lit("candidate").alias("model"))]) for t in (rows, probe)), "champion"
    )
    verdict = decide(twice, CONFIG)
    assert verdict.outcome == "INCONCLUSIVE"
    assert (verdict.primary.comparison.gain, verdict.primary.comparison.low, verdict.primary.comparison.high) == (
        0,
        0,
        0,
    )
    assert "answer alike" in verdict.reasons[0]
    assert verdict.items_needed is None


def test_an_unclear_gain_says_what_it_could_have_seen_and_how_many_items_would_decide():
    verdict = decide(evidence(0.3, seed=1), CONFIG)
    assert verdict.outcome == "INCONCLUSIVE"
    assert 0.02 < verdict.least_detectable_effect < 0.3
    assert verdict.items_needed > verdict.items
    assert "may be chance" in verdict.reasons[0]


def test_a_real_gain_below_the_least_effect_is_not_released():
    verdict = decide(promoted(), CONFIG.model_copy(update={"least_effect": 0.9}))
    assert verdict.outcome == "INCONCLUSIVE"
    assert "below the least that counts" in verdict.reasons[0]
    assert verdict.items_needed is None


def test_a_first_champion_must_also_reach_the_floor():
    e = promoted()
    rename = pl.col("model").replace("champion", "base")
    first = replace(e, rows=e.rows.with_columns(rename), probe=e.probe.with_columns(rename), comparator="base")
    assert decide(first, CONFIG).outcome == "PROMOTE"
    verdict = decide(first, CONFIG.model_copy(update={"floor": 0.999}))
    assert verdict.outcome == "REJECT"
    assert "first champion" in verdict.reasons[0]
    unmeasured = decide(replace(first, rows=first.rows.clear()), CONFIG)
    assert unmeasured.outcome == "INCONCLUSIVE"


def test_a_floor_that_may_still_be_reached_is_inconclusive():
    e = promoted()
    rename = pl.col("model").replace("champion", "base")
    first = replace(e, rows=e.rows.with_columns(rename), probe=e.probe.with_columns(rename), comparator="base")
    just_above = decide(first, CONFIG).primary.comparison.candidate + 0.01
    assert decide(first, CONFIG.model_copy(update={"floor": just_above})).outcome == "INCONCLUSIVE"


def test_no_champion_rows_where_a_champion_serves_never_promotes():
    e = promoted()
    alone = e.rows.filter(pl.col("model") == "candidate")
    verdict = decide(replace(e, rows=alone), CONFIG)
    assert verdict.outcome == "INCONCLUSIVE"
    assert "no measurement of the champion" in verdict.reasons[0]


def test_the_order_of_rows_does_not_matter():
    e = promoted()
    shuffled = replace(e, rows=e.rows.sample(fraction=1, shuffle=True, seed=1), probe=e.probe.reverse())
    assert decide(shuffled, CONFIG) == decide(e, CONFIG)


def test_rules_without_a_guard_or_with_a_typo_are_refused():
    for wrong in ({"guards": {}}, {"margin": 1}, {"resamples": 10}):
        with pytest.raises(ValidationError):
            GateConfig(**wrong)
    with pytest.raises(ValidationError):
        Guard(better="lower", margin=0)


@pytest.mark.slow
def test_an_equal_model_is_promoted_in_at_most_three_of_a_hundred_evaluations():
    world = BENCH.make_world(0)
    primary, whole = BENCH.promotion_rates(world, 0.0, 2000, GateConfig(resamples=1000))
    assert whole <= 0.03
    assert 0.01 <= primary <= 0.03  # nominal 0.02: neither loose nor so strict that nothing would ever pass
