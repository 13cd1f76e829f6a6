"""Each kind of entry is a type; what was stored once is read into it and written again as the same bytes."""

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.digests import canonical
from tasks.core.release.ledger import next_entry, parse
from tasks.core.release.ledger_entries import (
    KINDS,
    Content,
    FlowRun,
    Kind,
    Rollback,
    RolloutStep,
    Unknown,
    kind_of,
    to_json,
)
from tests.tasks.ledger_facts import STORED, flow_run, pointer, rollback, rollout_step, run_facts, verdict_facts

AT = "2026-01-01T00:00:00+00:00"
OLD = [path.read_bytes() for path in sorted((STORED / "store" / "ledger").glob("*.json"))]


def test_every_kind_has_a_class_of_its_own() -> None:
    assert set(KINDS) == set(get_args(Kind))
    assert set(KINDS.values()) == set(get_args(Content))


def test_release_0_1_wrote_every_kind() -> None:
    assert {json.loads(data)["kind"] for data in OLD} == set(KINDS)


@pytest.mark.parametrize("data", OLD, ids=[str(number) for number in range(1, len(OLD) + 1)])
def test_an_old_entry_is_read_into_its_class_and_written_again_as_the_same_bytes(data: bytes) -> None:
    entry = parse(data)
    assert type(entry.facts) is KINDS[entry.kind]
    assert canonical(to_json(entry.facts)) == canonical(entry.content)
    assert entry.to_bytes() == data


@pytest.mark.parametrize(
    "facts",
    [run_facts(), verdict_facts(), pointer(), flow_run(), flow_run("killed"), rollout_step("announced"), rollback()],
    ids=lambda facts: type(facts).__name__,
)
def test_what_is_written_is_read_back_as_the_same_facts(facts: Content) -> None:
    entry = next_entry(None, facts, key="k", at=AT)
    assert entry.kind == kind_of(facts)
    assert parse(entry.to_bytes()).facts == facts


@given(reason=st.text(), share=st.none() | st.floats(0, 1), by=st.text())
def test_any_words_and_numbers_come_back(reason: str, share: float | None, by: str) -> None:
    step = rollout_step("advanced", reason=reason, share=share, by=by)
    assert parse(next_entry(None, step, key="k", at=AT).to_bytes()).facts == step


def test_a_field_that_nobody_gave_is_not_stored() -> None:
    assert set(to_json(flow_run("killed"))) == {"pid", "command", "started_at", "checkout", "outcome"}
    assert "share" not in to_json(rollout_step("finished"))
    assert to_json(rollback(to=None)) == {"from": "new", "to": None, "reason": "wrong prices", "by": "ops"}


def test_readers_match_on_the_class() -> None:
    match next_entry(None, rollback(), key="k", at=AT).facts:
        case Rollback(left=left, to=to):
            assert (left, to) == ("new", "old")
        case RolloutStep() | FlowRun():
            pytest.fail("another class")


def test_what_a_newer_release_wrote_is_unknown_and_the_entry_keeps_its_bytes() -> None:
    known = next_entry(None, flow_run(), key="k", at=AT)
    newer = known.model_copy(update={"content": {**known.content, "tenant": "acme"}})
    kept = parse(newer.to_bytes())
    assert kept.to_bytes() == newer.to_bytes()
    assert kept.facts == Unknown(reason="flow, tenant: extra inputs are not permitted")
