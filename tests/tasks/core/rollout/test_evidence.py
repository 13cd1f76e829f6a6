import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from tasks.core.records.answer import AnswerRecord
from tasks.core.rollout.decision import RolloutRule, SignalRule
from tasks.core.rollout.evidence import RolloutEvidence
from tasks.core.rollout.plan import RolloutDocument
from tests.tasks.answers import answer

START = datetime.fromisoformat("2026-05-01T10:00:00+00:00")
RULE = RolloutRule(signals={"quality": SignalRule(better="higher", margin=0.2)}, min_requests=50)


def document(**changes: Any) -> RolloutDocument:
    values = {
        "id": "r1", "entry": "e", "entry_number": 1, "strategy": "canary", "candidate": "b" * 64, "champion": "a" * 64,
        "shares": [0.5, 0.9, 1.0], "steps": [START.isoformat()], "rule": RULE, "slow_s": 10.0, "by": "x", "reason": "",
    }  # fmt: skip
    return RolloutDocument.model_validate({**values, **changes})


def records(count: int, rate: float = 0.9, seconds_apart: float = 1.0) -> list[AnswerRecord]:
    rng = random.Random(3)
    made = []
    for number in range(count):
        bucket = rng.randrange(10_000)
        is_candidate = bucket < 5000
        made.append(
            answer(
                f"a{number}",
                at=(START + timedelta(seconds=number * seconds_apart)).isoformat(),
                model=("b" if is_candidate else "a") * 64,
                arm="candidate" if is_candidate else "champion",
                bucket=bucket,
                abstained=rng.random() > (rate if is_candidate else 0.9),
                ungrounded=[],
            )
        )
    return made


def fed(made: list[AnswerRecord], **changes: Any) -> RolloutEvidence:
    evidence = RolloutEvidence(document(**changes))
    for record in made:
        evidence.observe(record)
    return evidence


def test_evidence_counted_again_from_the_records_is_the_evidence_as_it_came() -> None:
    made = records(600)
    live = fed(made)
    assert sum(live.requests.values()) == 600
    assert RolloutEvidence.rebuilt(document(), made).decide() == live.decide()


def test_the_same_holds_over_steps() -> None:
    made = records(600)
    second = document(steps=[START.isoformat(), (START + timedelta(seconds=299.5)).isoformat()])
    live = fed(made[:300])
    live.next_step(second)
    for record in made[300:]:
        live.observe(record)
    again = RolloutEvidence.rebuilt(second, made)
    assert again.decide() == live.decide()
    assert again.requests == live.requests
    assert sum(again.requests.values()) == 300


def test_an_answer_counts_at_the_step_it_ended_in_whenever_it_is_heard_of() -> None:
    made = records(600)
    second = document(steps=[START.isoformat(), (START + timedelta(seconds=299.5)).isoformat()])
    live = fed([*made[:290], *made[300:320]])  # the step was taken ten answers ago, elsewhere
    live.next_step(second)
    for record in [*made[290:300], *made[320:]]:
        live.observe(record)
    again = RolloutEvidence.rebuilt(second, made)
    assert again.requests == live.requests
    assert again.decide() == live.decide()


def test_a_step_without_answers_yet_has_its_own_count() -> None:
    second = document(steps=[START.isoformat(), (START + timedelta(hours=1)).isoformat()])
    assert RolloutEvidence.rebuilt(second, records(100)).requests == {"candidate": 0, "champion": 0}


@pytest.mark.parametrize(
    "changes", [{"bucket": None}, {"model": "c" * 64}, {"arm": "elsewhere"}, {"status": "cancelled", "seconds": 1.0}]
)
def test_answers_that_were_not_drawn_or_are_of_other_models_do_not_count(changes: dict[str, Any]) -> None:
    strange = [record.model_copy(update=changes) for record in records(50)]
    assert fed(strange).requests == {"candidate": 0, "champion": 0}


def test_a_worse_candidate_is_found_out_and_an_equal_one_may_go_on() -> None:
    assert fed(records(2000, rate=0.5)).decide().outcome == "ROLLBACK"
    assert fed(records(2000, rate=0.9)).decide().outcome == "ADVANCE"


def test_what_people_say_later_is_counted_with_its_answer() -> None:
    made = records(400)
    evidence = fed(made)
    before = evidence.decide().findings[0].candidate
    disliked = {record.answer_id: 0.0 for record in made if record.arm == "candidate"}
    assert evidence.hear({**disliked, "of another rollout": 0.0})
    assert not evidence.hear({**disliked, "of another rollout": 0.0})
    assert before is not None
    assert before > 0.8
    assert evidence.decide().findings[0].candidate == 0.0
    assert RolloutEvidence.rebuilt(document(), made, disliked).decide() == evidence.decide()


def test_a_shown_answer_counts_only_with_its_shadow() -> None:
    shown = answer("a1", model="a" * 64, bucket=7, abstained=False, ungrounded=[], at=START.isoformat())
    alone = shown.model_copy(update={"answer_id": "a2"})
    shadow = shown.model_copy(
        update={"answer_id": "s1", "model": "b" * 64, "arm": "shadow", "shadow_of": "a1", "abstained": True}
    )
    evidence = fed([shown, alone, shadow], strategy="shadow", shares=[0.0])
    assert evidence.requests == {"candidate": 1, "champion": 1}
    means = evidence.decide().findings[0]
    assert (means.candidate, means.champion) == (0.0, 1.0)
