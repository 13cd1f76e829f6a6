from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from tasks.core.rollout.decision import RolloutRule
from tasks.core.rollout.plan import (
    BUCKETS,
    DeployConfig,
    Heartbeat,
    RolloutDocument,
    bucket_of,
    is_candidates,
    version_before,
)

AT = "2026-05-01T10:00:00+00:00"


def document(**changes: object) -> RolloutDocument:
    values = {
        "id": "r1", "entry": "e", "entry_number": 1, "strategy": "canary", "candidate": "b" * 64, "champion": "a" * 64,
        "shares": [0.01, 0.5, 1.0], "steps": [AT], "rule": RolloutRule(), "slow_s": 10.0, "by": "x", "reason": "",
    }  # fmt: skip
    return RolloutDocument.model_validate({**values, **changes})


def test_the_same_asker_stays_with_the_candidate_as_its_share_grows() -> None:
    buckets = [bucket_of("r1", f"user-{number}") for number in range(5000)]
    before: set[int] = set()
    for share in (0.01, 0.1, 0.5, 1.0):
        chosen = {number for number, bucket in enumerate(buckets) if is_candidates(bucket, share)}
        assert before <= chosen
        assert len(chosen) == pytest.approx(5000 * share, abs=4 * (5000 * share * (1 - share)) ** 0.5 + 1)
        before = chosen
    assert buckets == [bucket_of("r1", f"user-{number}") for number in range(5000)]


def test_another_rollout_tries_its_candidate_on_others() -> None:
    first, second = ({n for n in range(5000) if bucket_of(id_, f"user-{n}") < BUCKETS // 10} for id_ in ("r1", "r2"))
    assert 20 < len(first & second) < 100


@pytest.mark.parametrize("shares", [[], [0.5], [0.5, 0.1, 1.0], [0.0, 1.0], [0.5, 0.5, 1.0], [0.5, 1.5]])
def test_shares_that_do_not_grow_to_all_are_refused(shares: list[float]) -> None:
    with pytest.raises(ValidationError):
        DeployConfig(shares=shares)


@pytest.mark.parametrize(
    ("strategy", "steps"),
    [("canary", [0.01, 0.1, 0.5, 1.0]), ("ab", [0.5]), ("shadow", [0.0]), ("all_at_once", [1.0])],
)
def test_a_strategy_has_its_steps(strategy: str, steps: list[float]) -> None:
    assert DeployConfig.model_validate({"strategy": strategy}).steps() == steps


def test_a_rollout_says_how_it_stands() -> None:
    assert document().sentence() == (
        "canary of bbbbbbbbbbbb against aaaaaaaaaaaa, at 1 % of the askers, since 2026-05-01T10:00:00+00:00"
    )
    assert (
        document(strategy="shadow", shares=[0.0], champion=None)
        .sentence()
        .startswith("shadow of bbbbbbbbbbbb against base, unseen")
    )
    over = document(state="rolled_back", ended_at=AT, ending="Errors got worse.")
    assert over.sentence().endswith(f"rolled back at {AT} (Errors got worse.)")


def test_a_rollback_goes_to_what_served_before_and_the_next_one_further_back() -> None:
    moves = [("a", None, False)]
    moves.insert(0, ("b", "a", False))
    assert version_before(moves, "b") == "a"
    moves.insert(0, ("a", "b", True))
    assert version_before(moves, "a") is None
    moves.insert(0, ("c", "a", False))
    assert version_before(moves, "c") == "a"
    moves.insert(0, ("b", "c", True))
    assert version_before(moves, "b") == "a"


def test_a_gateway_that_has_been_silent_does_not_count_as_running() -> None:
    beat = Heartbeat(gateway="g", url="http://127.0.0.1:1", at=AT, champion="base")
    now = datetime(2026, 5, 1, 10, tzinfo=UTC)
    assert beat.is_alive(now + timedelta(seconds=10))
    assert not beat.is_alive(now + timedelta(seconds=30))
