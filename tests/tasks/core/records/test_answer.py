"""The record of an answer: complete, frozen, and nothing unmeasured is zero."""

from typing import Any

import pytest
from pydantic import ValidationError

from tasks.core.records.answer import AnswerRecord

FIELDS = (
    "answer_id at model arm prompt_digest index_version engine parameters messages answer document_ids "
    "retrieval_scores abstained ungrounded status finish_reason prompt_tokens completion_tokens ttft_s seconds cpu_s "
    "key_id cached shadow_of bucket"
)
UNMEASURED = ("abstained", "ungrounded", "prompt_tokens", "completion_tokens", "ttft_s", "seconds", "cpu_s")


def values(**changes: Any) -> dict[str, Any]:
    """Return the fields of a record in which nothing optional is known."""
    known: dict[str, Any] = {
        "answer_id": "a1", "at": "2026-05-01T10:00:00+00:00", "model": "base", "arm": "champion",
        "prompt_digest": "p", "engine": "openvino", "parameters": {"temperature": 0, "stop": ["\n"]},
        "messages": [{"role": "user", "content": "Why?"}], "answer": "So.", "document_ids": [],
        "retrieval_scores": [], "status": "ok", "cached": False,
    }  # fmt: skip
    return {**dict.fromkeys(FIELDS.split()), **known, **changes}


def test_the_fields_are_those_that_gateway_recorder_and_monitoring_agreed_on() -> None:
    assert list(AnswerRecord.model_fields) == FIELDS.split()


def test_a_record_survives_json_and_what_was_not_measured_stays_none() -> None:
    record = AnswerRecord.model_validate(values())
    again = AnswerRecord.model_validate_json(record.model_dump_json())
    assert again == record
    assert [getattr(again, name) for name in UNMEASURED] == [None] * len(UNMEASURED)


def test_a_score_that_is_no_number_survives_json() -> None:
    record = AnswerRecord.model_validate(values(retrieval_scores=[0.5, float("nan")]))
    assert str(AnswerRecord.model_validate_json(record.model_dump_json()).retrieval_scores) == "[0.5, nan]"


@pytest.mark.parametrize(
    ("name", "value"), [("status", "fine"), ("cost", 3), ("messages", "Why?"), ("prompt_tokens", "many")]
)
def test_what_is_no_record_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValidationError):
        AnswerRecord.model_validate(values(**{name: value}))


def test_a_record_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        AnswerRecord.model_validate(values()).answer = "other"
