"""What a gateway does next, from what the store wants and what is loaded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.release.lineage import BASE, Pointer
from tasks.core.rollout.decision import RolloutRule
from tasks.core.rollout.next_action import (
    ContinueRollout,
    LoadCandidate,
    LoadChampion,
    Loaded,
    PromoteCandidate,
    ReturnToWarm,
    RolloutEnding,
    ServeChampionAlone,
    next_action,
)
from tasks.core.rollout.plan import RolloutDocument
from tests.tasks.ledger_facts import AT, pointer


def champion(model: str) -> Pointer:
    return pointer(model=model, entry=f"entry of {model}")


def rollout(candidate: str = "new", champion: str | None = "old", state: str = "running") -> RolloutDocument:
    return RolloutDocument.model_validate(
        {
            "id": "r1", "entry": "e", "entry_number": 1, "strategy": "canary", "candidate": candidate,
            "champion": champion, "shares": [0.1, 1.0], "steps": [AT], "rule": RolloutRule(), "slow_s": 10.0,
            "by": "test", "reason": "", "state": state,
        }
    )  # fmt: skip


def test_while_the_store_wants_what_serves_there_is_nothing_to_do() -> None:
    assert next_action(champion("old"), None, Loaded("old")) == ServeChampionAlone()
    assert next_action(None, None, Loaded(BASE)) == ServeChampionAlone()


def test_another_champion_is_loaded_and_one_that_is_loaded_takes_over_at_once() -> None:
    moved = champion("new")
    assert next_action(moved, None, Loaded("old")) == LoadChampion("new", moved)
    assert next_action(moved, None, Loaded("old", candidate="new", rollout="r1")) == PromoteCandidate()
    assert next_action(moved, None, Loaded("old", warm="new")) == ReturnToWarm()


def test_a_pointer_that_is_gone_means_the_base_model() -> None:
    assert next_action(None, None, Loaded("old")) == LoadChampion(BASE, None)


def test_a_version_that_was_refused_here_is_not_tried_again() -> None:
    moved = champion("new")
    assert next_action(moved, None, Loaded("old"), {moved.entry}) == ServeChampionAlone()


def test_a_rollout_is_begun_and_then_gone_on_with() -> None:
    running = rollout()
    assert next_action(champion("old"), running, Loaded("old")) == LoadCandidate(running)
    assert next_action(champion("old"), running, Loaded("old", "new", rollout="r1")) == ContinueRollout(running)
    assert next_action(champion("old"), running, Loaded("old", "other", rollout="r0")) == LoadCandidate(running)


def test_a_first_rollout_stands_beside_the_base_model() -> None:
    running = rollout(champion=None)
    assert next_action(None, running, Loaded(BASE)) == LoadCandidate(running)


@pytest.mark.parametrize(("model", "state"), [("new", "finished"), ("other", "superseded")])
def test_a_rollout_that_the_pointer_has_overtaken_is_closed(model: str, state: str) -> None:
    running = rollout()
    action = next_action(champion(model), running, Loaded(model))
    assert action == ServeChampionAlone(RolloutEnding(running, state, f"{model} is the champion now"))  # type: ignore[arg-type]


@pytest.mark.parametrize("state", ["finished", "rolled_back", "superseded"])
def test_a_rollout_that_is_over_is_left_alone(state: str) -> None:
    assert next_action(champion("old"), rollout(state=state), Loaded("old")) == ServeChampionAlone()


models = st.sampled_from(["a", "b", "c"])


@given(
    wanted=st.none() | models, serving=models | st.just(BASE), candidate=st.none() | models, warm=st.none() | models,
    document=st.none() | st.builds(rollout, models, st.none() | models, st.sampled_from(["running", "finished"])),
)  # fmt: skip
def test_what_serves_changes_only_towards_what_the_store_wants(
    wanted: str | None, serving: str, candidate: str | None, warm: str | None, document: RolloutDocument | None
) -> None:
    loaded = Loaded(serving, candidate, warm, "r1" if candidate else None)
    action = next_action(champion(wanted) if wanted else None, document, loaded)
    target = wanted or BASE
    match action:
        case PromoteCandidate():
            assert candidate == target != serving
        case ReturnToWarm():
            assert warm == target != serving
        case LoadChampion(model=model):
            assert model == target != serving
        case LoadCandidate(rollout=running) | ContinueRollout(rollout=running):
            assert running.is_running
            assert (target, running.champion) == (serving, wanted)
        case ServeChampionAlone():
            assert target == serving
