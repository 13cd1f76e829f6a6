import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.core.rollout.decision import WATCHED, Rollout, RolloutDecision, RolloutRule, SignalRule

RULE = RolloutRule(
    signals={
        "quality": SignalRule(better="higher", margin=0.1),
        "errors": SignalRule(better="lower", margin=0.05),
        "feedback": SignalRule(better="lower", margin=0.1, min_coverage=0, advance_needs_it=False),
    }
)
BETTER = RULE.model_copy(update={"advance": "better"})
GOOD = {"quality": 0.8, "errors": 0.02}


def fill(rollout: Rollout, candidate: dict, champion: dict, requests: int = 1500, seed: int = 0) -> Rollout:
    """Return the rollout after as many requests of each arm, each signal 1 with its rate."""
    rng = np.random.default_rng(seed)
    for _ in range(requests):
        for arm, rates in (("candidate", candidate), ("champion", champion)):
            rollout.observe(arm, {name: float(rng.random() < rate) for name, rate in rates.items()})
    return rollout


def decision(candidate: dict, champion: dict = GOOD, rule: RolloutRule = RULE, requests: int = 1500) -> RolloutDecision:
    return fill(Rollout.start(rule), candidate, champion, requests).decide()


def test_an_equal_candidate_advances_once_it_is_shown_not_to_be_worse():
    found = decision(GOOD)
    assert found.outcome == "ADVANCE"
    assert "after 1500 requests at this step" in found.headline
    assert len(found.reasons) == 2
    assert "did not get worse by more than the accepted 10.0 points" in found.reasons[0]


def test_an_equal_candidate_does_not_advance_where_it_must_be_better():
    found = decision(GOOD, rule=BETTER)
    assert found.outcome == "WAIT"
    assert "Quality is not yet shown to improve" in found.reasons[0]


def test_a_better_candidate_advances_with_its_numbers():
    found = decision({"quality": 0.9, "errors": 0.02}, rule=BETTER)
    assert found.outcome == "ADVANCE"
    quality = found.findings[0]
    assert quality.low > 0
    assert f"Quality improved: {100 * quality.gain:+.1f} points" in found.reasons[0]


def test_a_worse_candidate_is_rolled_back_with_its_numbers():
    found = decision({"quality": 0.6, "errors": 0.02})
    assert found.outcome == "ROLLBACK"
    assert found.findings[0].high < 0
    assert found.reasons == [found.findings[0].sentence]
    assert f"Quality got worse: {100 * found.findings[0].gain:+.1f} points" in found.reasons[0]


def test_a_guard_beyond_its_margin_rolls_back_whatever_the_primary_signal_shows():
    found = decision({"quality": 0.95, "errors": 0.2}, rule=BETTER)
    assert found.outcome == "ROLLBACK"
    assert "Errors got worse by more than the accepted 5.0 points" in found.reasons[0]


def test_a_guard_within_its_margin_does_not_roll_back():
    assert decision({"quality": 0.8, "errors": 0.05}).outcome != "ROLLBACK"


def test_a_guard_that_may_have_got_worse_keeps_the_share():
    found = decision({"quality": 0.95, "errors": 0.02}, rule=BETTER, requests=150)
    assert found.outcome == "WAIT"
    assert "Errors may have got worse by more than the accepted 5.0 points" in " ".join(found.reasons)


def test_a_guard_that_can_but_roll_back_is_not_waited_for_yet_heard():
    assert decision(GOOD).findings[2].state == "unmeasured"
    complaints = {**GOOD, "feedback": 0.5}, {**GOOD, "feedback": 0.1}
    found = decision(*complaints)
    assert found.outcome == "ROLLBACK"
    assert found.reasons[0].startswith("Feedback got worse")


def test_too_few_requests_at_the_step_wait():
    rule = RULE.model_copy(update={"min_requests": 1501})
    found = decision(GOOD, rule=rule)
    assert found.outcome == "WAIT"
    assert found.reasons == ["The candidate has answered 1500 requests at this step; at least 1501 are needed."]


def test_a_new_step_keeps_the_evidence_and_counts_requests_anew():
    first = fill(Rollout.start(RULE), GOOD, GOOD)
    second = first.next_step()
    assert [f.gain for f in second.decide().findings] == [f.gain for f in first.decide().findings]
    assert second.decide().outcome == "WAIT"
    assert fill(second, GOOD, GOOD, 100, seed=1).decide().outcome == "ADVANCE"


def test_harm_shown_at_an_earlier_step_still_rolls_back():
    first = fill(Rollout.start(RULE), {"quality": 0.6, "errors": 0.02}, GOOD)
    assert first.next_step().decide().outcome == "ROLLBACK"


def test_nothing_observed_waits_and_says_what_is_missing():
    found = Rollout.start(RULE).decide()
    assert found.outcome == "WAIT"
    assert {finding.state for finding in found.findings} == {"unmeasured"}
    assert "0 askers of the candidate and 0 of the champion; at least 20" in found.reasons[1]
    assert all(finding.gain is None and finding.low is None for finding in found.findings)


@pytest.mark.parametrize("name", ["quality", "errors"])
@pytest.mark.parametrize("arm", ["candidate", "champion"])
@pytest.mark.parametrize("value", [None, math.nan, math.inf, 2.0, "absent"])
def test_a_signal_that_was_not_measured_neither_advances_nor_rolls_back(name, arm, value):
    rollout = Rollout.start(RULE)
    for _ in range(500):
        for side in ("candidate", "champion"):
            signals = {"quality": 1.0, "errors": 0.0}
            if side == arm:
                signals[name] = value
                if value == "absent":
                    del signals[name]
            rollout.observe(side, signals)
    found = rollout.decide()
    assert found.outcome == "WAIT"
    assert "was measured on 0 of the" in found.reasons[0]


@settings(max_examples=20, deadline=None)
@given(share=st.floats(0.06, 1), arm=st.sampled_from(["candidate", "champion"]), seed=st.integers(0, 5))
def test_an_arm_measured_too_seldom_never_advances(share, arm, seed):
    rng, rollout = np.random.default_rng(seed), Rollout.start(RULE)
    for number in range(1000):
        for side in ("candidate", "champion"):
            is_lost = side == arm and number < share * 1000
            quality = None if is_lost else float(rng.random() < 0.8)
            rollout.observe(side, {"quality": quality, "errors": 0.0})
    assert rollout.decide().outcome == "WAIT"


def test_harm_is_heard_even_where_much_was_not_measured():
    rollout = Rollout.start(RULE)
    for number in range(2000):
        rollout.observe("candidate", {"quality": 0.0 if number % 2 else None, "errors": 0.0})
        rollout.observe("champion", {"quality": 1.0, "errors": 0.0})
    assert rollout.decide().outcome == "ROLLBACK"


def test_a_user_who_asks_again_and_again_does_not_decide_the_rollout():
    rollout = Rollout.start(RULE)
    for number in range(3000):
        rollout.observe("candidate", {"quality": float(number % 30 >= 10), "errors": 0.0}, f"user-{number % 30}")
        rollout.observe("champion", {"quality": float(number % 10 >= 2), "errors": 0.0})
    assert rollout.decide().outcome == "WAIT"


def test_the_probabilities_of_a_false_rollback_add_up_to_the_declared_one():
    for rule in (RULE, RolloutRule(), RolloutRule(signals={"quality": WATCHED["quality"]})):
        assert sum(rule.rollback_alpha(name) for name in rule.signals) == pytest.approx(rule.false_rollback)


@pytest.mark.parametrize(
    "wrong",
    [
        {"primary": "speed"},
        {"primary": "negative_feedback"},
        {"signals": {}},
        {"min_requests": 1},
        {"false_rollback": 0.0},
        {"margin": 0.1},
    ],
)
def test_rules_that_decide_nothing_or_hold_a_typo_are_refused(wrong):
    with pytest.raises(ValidationError):
        RolloutRule(**wrong)
    with pytest.raises(ValidationError):
        SignalRule(better="higher", margin=1.0)


def test_a_decision_survives_being_written_and_read():
    for found in (Rollout.start(RULE).decide(), decision(GOOD, requests=100)):
        assert RolloutDecision.model_validate_json(found.model_dump_json()) == found


def test_few_askers_are_named_as_what_is_missing_however_often_they_ask() -> None:
    rollout = Rollout.start(RolloutRule())
    for request in range(400):
        rollout.observe("candidate", {"quality": 1.0}, key=f"a{request % 12}")
        rollout.observe("champion", {"quality": 1.0}, key=f"b{request % 90}")
    quality = next(finding for finding in rollout.decide().findings if finding.signal == "quality")
    assert quality.state == "unmeasured"
    assert quality.sentence == (
        "Quality was measured with 12 askers of the candidate and 90 of the champion; at least 20 of each are needed."
    )
