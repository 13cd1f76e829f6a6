"""Corrections become conversations."""

from collections.abc import Callable
from typing import Any

import pytest

from tasks.adapters.sources.documents import SourceTerms
from tasks.adapters.sources.feedback import read_feedback
from tasks.adapters.sources.raw_zone import DocumentRow, Place
from tasks.core.chat.prompt import ABSTENTION
from tasks.core.records.schema import Feedback

TERMS = SourceTerms("unknown", 100_000)
DOCUMENT = DocumentRow("00ab", "refunds", "t", "text", "files", "u", "MIT", "2026-01-01T00:00:00Z")
Write = Callable[[str, str | bytes], Any]


def feedback(answer_id: str, **values: Any) -> str:
    record = Feedback(
        answer_id=answer_id,
        model="m",
        question="How long?",
        answer="Three days.",
        recorded_at="2026-05-01T00:00:00Z",
        **{"correction": "Two days.", "review": "accepted", **values},
    )
    return record.model_dump_json() + "\n"


def test_an_accepted_correction_becomes_a_conversation(write: Write, raw_zone: Any, outcome: Any) -> None:
    with raw_zone() as zone:
        zone.add_document(DOCUMENT, Place("u"))
        content = feedback("1", document_ids=["00ab", "00ff", "not an id"])
        read_feedback([write("f.jsonl", content)], zone, TERMS, require_review=True)
    (row,) = outcome.conversations
    assert [turn["content"] for turn in row["messages"]] == ["How long?", "Two days."]
    assert (row["document_ids"], row["family"], row["source"], row["uri"]) == (["00ab"], "refunds", "feedback", "1")
    assert row["seen_at"] == "2026-05-01T00:00:00Z"


@pytest.mark.parametrize(
    ("require_review", "used"), [(True, ["accepted"]), (False, ["accepted", "pending"])], ids=["reviewed", "all"]
)
def test_review_decides_what_is_used(
    require_review: bool, used: list[str], write: Write, raw_zone: Any, outcome: Any
) -> None:
    content = "".join(feedback(review, review=review) for review in ("accepted", "pending", "rejected"))
    content += feedback("up", correction=None, thumb="up") + feedback("blank", correction="  ")
    with raw_zone() as zone:
        read_feedback([write("f.jsonl", content)], zone, TERMS, require_review=require_review)
        assert zone.tally.skipped == 5 - len(used)
        assert zone.tally.quarantined == 0
    assert [row["uri"] for row in outcome.conversations] == used


def test_a_correction_that_abstains_is_unanswerable(write: Write, raw_zone: Any, outcome: Any) -> None:
    content = feedback("1", correction="The documentation does not say that.")
    with raw_zone() as zone:
        read_feedback([write("f.jsonl", content)], zone, TERMS, require_review=True)
    (row,) = outcome.conversations
    assert not row["answerable"]
    assert row["messages"][-1]["content"] == ABSTENTION
    assert row["family"] == row["id"]


def test_what_is_no_feedback_is_quarantined_with_the_field(write: Write, raw_zone: Any, outcome: Any) -> None:
    content = feedback("1") + '{"answer_id": "2"}\n[]\n'
    with raw_zone() as zone:
        read_feedback([write("f.jsonl", content)], zone, TERMS, require_review=True)
    assert outcome.reasons == ["no feedback", "no feedback"]
    assert outcome.quarantine[0]["detail"] == "model: missing"


def test_of_several_verdicts_on_an_answer_one_counts_and_none_is_refused(
    write: Write, raw_zone: Any, outcome: Any
) -> None:
    first = write("2026-05-01/a.jsonl", feedback("1", correction="Mine.", review="pending") + feedback("2"))
    second = write("2026-05-02/b.jsonl", feedback("1", correction="Right.") + feedback("2", review="rejected"))
    third = write("2026-05-03/c.jsonl", feedback("1", correction="Poison.", review="pending"))
    with raw_zone() as zone:
        read_feedback([first, second, third], zone, TERMS, require_review=False)
        assert (zone.tally.skipped, zone.tally.quarantined) == (4, 0)
    (row,) = outcome.conversations
    assert row["messages"][-1]["content"] == "Right."
