"""Answer records lose everything personal, wherever in the record it stands."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.privacy.pseudonyms import PSEUDONYM
from tasks.core.privacy.record_redaction import redact_answers, redact_feedback
from tasks.core.privacy.spans import Span
from tasks.core.records.schema import Feedback
from tests.tasks.answers import PLANTED, REDACTOR, answer


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(PLANTED), min_size=5, max_size=5))
def test_no_planted_value_survives_in_any_field_that_people_or_models_fill(values: list[str]) -> None:
    record = answer(
        messages=[{"role": "user", "content": f"Ask {values[0]} now.", "name": values[1]}],
        answer=f"It is {values[2]}.",
        parameters={"user": values[3], "stop": [f"see {values[4]} "], "metadata": {f"for {values[0]} only": None}},
        ungrounded=[values[2]],
    )
    (redacted,) = redact_answers(REDACTOR, [record])
    assert not [value for value in values if value in redacted.model_dump_json()]


def test_question_and_answer_share_their_pseudonyms() -> None:
    messages = [{"role": "user", "content": "Who is Carlos Mendoza?"}]
    (redacted,) = redact_answers(REDACTOR, [answer(messages=messages, answer="As Mendoza wrote, it fails.")])
    assert PSEUDONYM.findall(redacted.messages[0]["content"]) == PSEUDONYM.findall(redacted.answer)


def test_a_part_of_a_value_among_the_ungrounded_terms_goes_with_it() -> None:
    (redacted,) = redact_answers(REDACTOR, [answer(answer="Call +1 415 555 0132.", ungrounded=["415", "1", "Bern"])])
    assert PSEUDONYM.fullmatch((redacted.ungrounded or [""])[0])
    assert (redacted.ungrounded or [])[1:] == ["1", "Bern"]


def test_a_record_without_personal_data_stays_as_it_is() -> None:
    record = answer(
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is json.dumps?"}],
        answer="A function.",
        parameters={"temperature": 0.5, "stop": None, "n": 1, "logit_bias": {"12": -1}},
        ungrounded=[],
    )
    assert redact_answers(REDACTOR, [record, record]) == [record, record]
    assert redact_answers(REDACTOR, []) == []


def test_half_a_surrogate_pair_becomes_a_question_mark() -> None:
    (redacted,) = redact_answers(REDACTOR, [answer().model_copy(update={"answer": "a\ud800b"})])
    assert redacted.answer == "a?b"


class KnowsNkechi:
    """A recogniser that knows one name."""

    def find(self, texts: Sequence[str]) -> list[list[Span]]:
        return [[Span(text.index("Nkechi"), text.index("Nkechi") + 6, "PERSON")] if "Nkechi" in text else []
                for text in texts]  # fmt: skip


def test_a_named_entity_model_adds_what_rules_do_not_know() -> None:
    record = answer(messages=[{"role": "user", "content": "ask Nkechi now"}], answer="Nkechi says so")
    (by_rules,) = redact_answers(REDACTOR, [record])
    (by_both,) = redact_answers(REDACTOR, [record], KnowsNkechi())
    assert by_rules == record
    assert "Nkechi" not in by_both.model_dump_json()


@pytest.mark.parametrize("correction", [None, "Write to jane.doe@corp.example."])
def test_feedback_is_redacted_and_a_missing_correction_stays_missing(correction: str | None) -> None:
    feedback = Feedback(
        answer_id="a1", model="m", question="Who?", answer="Jane Doe", correction=correction, thumb="down",
        reason="Jane Doe told me", recorded_at="2026-05-01T10:00:00Z",
    )  # fmt: skip
    redacted = redact_feedback(REDACTOR, feedback)
    assert "Jane" not in redacted.model_dump_json()
    assert "jane.doe" not in redacted.model_dump_json()
    assert (redacted.correction is None) == (correction is None)
    assert (redacted.answer_id, redacted.thumb, redacted.recorded_at) == ("a1", "down", "2026-05-01T10:00:00Z")
