"""Reading records: by time window and by id, from open journals and from Parquet alike."""

from datetime import UTC, datetime

import pytest

from tasks.adapters.records import answer_log
from tasks.adapters.records.answer_log import find_record, read_hours, read_records
from tasks.adapters.records.journal import Journal, journals, line_of, rotate
from tasks.adapters.records.record_place import RecordPlace
from tasks.adapters.records.record_table import answers_of
from tasks.adapters.storage.object_store import FolderStore
from tasks.core.records.answer_id import new_answer_id
from tests.tasks.adapters.records.conftest import HOUR, TEN, at, ids, write
from tests.tasks.answers import answer


def test_a_finished_hour_becomes_one_parquet_file_and_reads_the_same(any_place: RecordPlace) -> None:
    written = [
        at(0, "a", parameters={"temperature": 0.5, "stop": ["\n"]}, retrieval_scores=[0.9, 0.1], ungrounded=["x"]),
        at(1, "b", document_ids=[], retrieval_scores=[], index_version=None, prompt_tokens=7, seconds=0.25),
        at(2, "c", messages=[], abstained=True, status="timeout", finish_reason=None, shadow_of="a"),
    ]
    path = write(any_place, TEN, *written)
    before = read_records(any_place, TEN, TEN + HOUR)
    assert rotate(path, any_place) == 3
    assert any_place.store.list("") == [f"2026-05-01/{path.stem}.parquet"]
    assert list(any_place.journals.iterdir()) == []
    after = read_records(any_place, TEN, TEN + HOUR)
    assert after.equals(before)
    assert list(answers_of(after)) == written


def test_a_journal_that_is_in_the_store_already_is_not_counted_twice(place: RecordPlace) -> None:
    path = write(place, TEN, at(0, "a"))
    content = path.read_bytes()
    rotate(path, place)
    path.write_bytes(content)
    assert ids(place, TEN, TEN + HOUR) == ["a"]


def test_the_window_is_by_time_of_the_answer_and_the_open_journal_belongs_to_it(place: RecordPlace) -> None:
    rotate(write(place, TEN - HOUR, at(-60, "nine"), at(-20, "before ten")), place)
    rotate(write(place, TEN, at(-20.5, "late"), at(0, "ten")), place)
    journal = Journal(place.journals, TEN + HOUR)
    journal.append(line_of(at(60, "eleven")) + line_of(at(70, "after")))
    assert ids(place, TEN - HOUR, TEN) == ["nine", "before ten", "late"]
    assert ids(place, TEN, TEN + HOUR) == ["ten"]
    assert ids(place, TEN + HOUR, TEN + 2 * HOUR) == ["eleven", "after"]
    assert [frame.height for frame in read_hours(place, TEN - HOUR, TEN + 2 * HOUR)] == [2, 2, 2]
    assert ids(place, TEN + 5 * HOUR, TEN + 9 * HOUR) == []
    journal.close()


def test_windows_reach_over_midnight_and_times_without_zone_are_utc(place: RecordPlace) -> None:
    rotate(write(place, datetime(2026, 4, 30, 23, tzinfo=UTC), answer("a", at="2026-04-30T23:59:59")), place)
    rotate(write(place, datetime(2026, 5, 1, 0, tzinfo=UTC), answer("b", at="2026-05-01T02:00:00+02:00")), place)
    rotate(write(place, datetime(2026, 5, 1, 0, tzinfo=UTC), answer("c", at="whenever")), place)
    since = datetime(2026, 4, 30, 23, 30, tzinfo=UTC)
    assert sorted(ids(place, since, since + HOUR)) == ["a", "b", "c"]


def test_other_files_in_the_folders_are_nobodys_records(place: RecordPlace) -> None:
    write(place, TEN, at(0, "a"))
    (place.journals / "notes.jsonl").write_text("{}")
    place.store.put_if_absent("2026-05-01/other.parquet", b"")
    assert ids(place, TEN, TEN + HOUR) == ["a"]
    assert len(journals(place)) == 1


@pytest.fixture(params=["journal", "parquet"])
def searched(request: pytest.FixtureRequest, place: RecordPlace) -> RecordPlace:
    """A place with an answer of last hour and two of this one, rotated or not."""
    for hour, names in ((TEN - HOUR, ["plain"]), (TEN, [new_answer_id(TEN, bytes(10)), "other"])):
        path = write(place, hour, *(at(0, name) for name in names))
        if request.param == "parquet":
            rotate(path, place)
    return place


def test_an_answer_is_found_by_its_id(searched: RecordPlace) -> None:
    for name in (new_answer_id(TEN, bytes(10)), "plain", "other"):
        found = find_record(searched, name, TEN)
        assert found is not None
        assert found.answer_id == name


@pytest.mark.parametrize("name", [new_answer_id(TEN, b"0" * 10), "pla", "", '","', "\ud800", "a\nb"])
def test_what_nobody_answered_is_not_found(searched: RecordPlace, name: str) -> None:
    assert find_record(searched, name, TEN) is None


def test_an_id_that_tells_its_hour_is_looked_for_there_alone(
    searched: RecordPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    real = answer_log._find_in
    monkeypatch.setattr(answer_log, "_find_in", lambda *a: (looked.append(a[1][:13]), real(*a))[1])
    find_record(searched, new_answer_id(TEN, b"0" * 10), TEN)
    assert looked == ["2026-05-01T10"]
    find_record(searched, "unknown", TEN)
    assert looked[1:] == ["2026-05-01T10", "2026-05-01T09"]


def test_a_journal_that_is_rotated_while_it_is_read_is_read_from_the_store(
    place: RecordPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(place, TEN, at(0, "a"))
    listed = journals(place)
    rotate(path, place)
    monkeypatch.setattr(answer_log, "journals", lambda _: listed)
    monkeypatch.setattr(FolderStore, "list", lambda *_: [])
    assert ids(place, TEN, TEN + HOUR) == ["a"]
    assert find_record(place, "a", TEN) is not None
