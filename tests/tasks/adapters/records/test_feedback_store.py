"""Stored verdicts: nothing lost, nothing personal, and no key beyond its cap."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tasks.adapters.records.answer_log import find_record
from tasks.adapters.records.feedback_store import FeedbackStore, read_feedback
from tasks.adapters.records.journal import Journal, line_of
from tasks.adapters.records.record_place import RecordPlace
from tasks.adapters.storage.object_store import FolderStore, Store
from tasks.core.errors import ExternalError
from tasks.core.feedback.rules import FeedbackLimits, FeedbackRefusedError, Opinion
from tasks.core.records.answer import AnswerRecord
from tasks.core.records.schema import Feedback
from tests.tasks.answers import PLANTED, REDACTOR, answer

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
ANSWERS = {f"a{i}": answer(f"a{i}", f"Question {i}?") for i in range(30)}


def feedback_in(store: Store, **limits: Any) -> FeedbackStore:
    return FeedbackStore(store, REDACTOR, ANSWERS.get, limits=FeedbackLimits(**limits))


@pytest.fixture
def folder(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "feedback")


def test_what_is_kept_is_read_back_with_folder_and_bucket(store: Store) -> None:
    kept = [
        feedback_in(store).accept(Opinion(answer_id="a1", thumb="down"), "k1", NOON),
        feedback_in(store).accept(Opinion(answer_id="a1", correction="Right."), "k1", NOON),
        feedback_in(store).accept(Opinion(answer_id="a2", reason="slow"), "k1", NOON + timedelta(days=1)),
    ]
    assert all(isinstance(feedback, Feedback) and feedback.review == "pending" for feedback in kept)
    assert sorted(read_feedback(store), key=lambda f: f.recorded_at + (f.correction or "")) == kept
    assert list(read_feedback(store, since=NOON + timedelta(days=1))) == kept[2:]
    assert len(store.list("2026-05-01/")) == 2


def test_the_same_verdict_twice_is_two_files_and_no_file_is_ever_changed(folder: FolderStore) -> None:
    opinion = Opinion(answer_id="a1", thumb="up")
    feedback_in(folder).accept(opinion, "k1", NOON)
    (first,) = folder.list("")
    content = folder.get(first)
    feedback_in(folder).accept(opinion, "k1", NOON)
    assert len(folder.list("")) == 2
    assert folder.get(first) == content


def test_a_key_has_its_cap_a_day_for_corrections_and_for_all_else(folder: FolderStore) -> None:
    limited = feedback_in(folder, corrections_a_day=2, verdicts_a_day=3)
    correct, thumb = Opinion(answer_id="a1", correction="Poison."), Opinion(answer_id="a1", thumb="up")
    for _ in range(2):
        limited.accept(correct, "k1", NOON)
    for _ in range(3):
        limited.accept(thumb, "k1", NOON)
    for opinion, words in ((correct, "2 corrections a day"), (thumb, "3 verdicts a day")):
        with pytest.raises(FeedbackRefusedError, match=words) as caught:
            limited.accept(opinion, "k1", NOON)
        assert caught.value.kind == "rate_limit_error"
    assert len(list(read_feedback(folder))) == 5
    limited.accept(correct, "k1", NOON + timedelta(days=1))
    with pytest.raises(FeedbackRefusedError, match="no answer"):  # of another key
        limited.accept(correct, "k2", NOON)
    feedback_in(folder, corrections_a_day=2, own_answers_only=False).accept(correct, "k2", NOON)


def test_the_cap_holds_when_many_gateways_are_asked_at_once(folder: FolderStore) -> None:
    def send(number: int) -> bool:
        try:
            feedback_in(folder, corrections_a_day=5).accept(
                Opinion(answer_id="a1", correction=f"{number}."), "k1", NOON
            )
        except FeedbackRefusedError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        taken = sum(pool.map(send, range(40)))
    assert taken == len(folder.list("")) == 5


@pytest.mark.parametrize("opinion", [Opinion(answer_id="nobody's", thumb="up"), Opinion(answer_id="a1")])
def test_what_is_refused_leaves_nothing(folder: FolderStore, opinion: Opinion) -> None:
    with pytest.raises(FeedbackRefusedError):
        feedback_in(folder).accept(opinion, "k1", NOON)
    assert folder.list("") == []


def test_no_byte_in_the_box_holds_planted_personal_data(folder: FolderStore) -> None:
    for value in PLANTED:
        opinion = Opinion(answer_id="a1", correction=f"Write to {value} today.", reason=f"Says {value} himself.")
        kept = feedback_in(folder).accept(opinion, "k1", NOON)
        assert value not in kept.model_dump_json()
    files = [path for path in folder.root.rglob("*") if path.is_file()]
    assert len(files) == len(PLANTED)
    for path in files:
        content = f"{path}{path.read_text()}"
        assert "today" in content
        assert not [value for value in PLANTED if value in content]


def test_the_keys_name_is_in_no_path(folder: FolderStore) -> None:
    feedback_in(folder, own_answers_only=False).accept(
        Opinion(answer_id="a1", thumb="up"), "jane.doe@corp.example", NOON
    )
    assert "jane" not in "".join(folder.list(""))


def test_a_store_out_of_reach_is_worth_another_try(folder: FolderStore) -> None:
    def find(_: str) -> AnswerRecord | None:
        raise ExternalError("The store cannot be reached: start it.")

    with pytest.raises(ExternalError, match="cannot be reached"):
        FeedbackStore(folder, REDACTOR, find).accept(Opinion(answer_id="a1", thumb="up"), "k1", NOON)


def test_the_answer_comes_from_the_log_of_records(folder: FolderStore, tmp_path: Path) -> None:
    place = RecordPlace(tmp_path / "journal", FolderStore(tmp_path / "records"))
    journal = Journal(place.journals, NOON)
    journal.append(line_of(answer("a1", "How long?", answer="Two days.", document_ids=["00ab"])))
    logged = FeedbackStore(folder, REDACTOR, lambda answer_id: find_record(place, answer_id, NOON))
    logged.accept(Opinion(answer_id="a1", correction="Three days."), "k1", NOON)
    journal.close()
    (kept,) = read_feedback(folder)
    assert (kept.question, kept.answer, kept.document_ids) == ("How long?", "Two days.", ["00ab"])


def test_a_foreign_file_in_the_box_is_passed_over(folder: FolderStore) -> None:
    folder.put_if_absent("2026-05-01/x.jsonl", b'{"no": "feedback"}\n')
    folder.put_if_absent("2026-05-01/notes.txt", b"hello")
    feedback_in(folder).accept(Opinion(answer_id="a1", thumb="up"), "k1", NOON)
    assert len(list(read_feedback(folder))) == 1
