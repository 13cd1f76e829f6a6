"""The log of records: lines whole or absent, hours into Parquet once, and everything found again."""

import errno
import fcntl
import json
import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.adapters.records import answer_log
from tasks.adapters.records.answer_log import find_record, read_hours, read_records
from tasks.adapters.records.journal import Journal, journals, line_of, read_journal, rotate
from tasks.adapters.records.record_place import RecordPlace
from tasks.adapters.records.record_table import RECORD_SCHEMA, answers_of
from tasks.adapters.storage.object_store import FolderStore, Store, open_store
from tasks.core.errors import ExternalError
from tasks.core.records.answer import AnswerRecord
from tasks.core.records.answer_id import new_answer_id
from tests.tasks.answers import answer

TEN = datetime(2026, 5, 1, 10, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def place(tmp_path: Path) -> RecordPlace:
    return RecordPlace(tmp_path / "journal", FolderStore(tmp_path / "records"))


@pytest.fixture
def any_place(store: Store, tmp_path: Path) -> RecordPlace:
    """With a folder and with a bucket."""
    return RecordPlace(tmp_path / "journal", store)


def at(minutes: float, name: str, **changes: Any) -> AnswerRecord:
    return answer(name, at=(TEN + timedelta(minutes=minutes)).isoformat(), **changes)


def write(place: RecordPlace, hour: datetime, *answers: AnswerRecord) -> Path:
    """Write a journal and let go of it."""
    journal = Journal(place.journals, hour)
    journal.append(b"".join(map(line_of, answers)))
    journal.close()
    return journal.path


def ids(place: RecordPlace, since: datetime, until: datetime) -> list[str]:
    return read_records(place, since, until)["answer_id"].to_list()


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


def test_the_columns_are_the_records_fields() -> None:
    assert RECORD_SCHEMA.names == list(AnswerRecord.model_fields)


def test_the_same_journal_gives_the_same_bytes_compressed(place: RecordPlace, tmp_path: Path) -> None:
    path = write(place, TEN, *(at(i, f"a{i}") for i in range(50)))
    content = path.read_bytes()
    rotate(path, place)
    (key,) = place.store.list("")
    first = place.store.get(key)
    path.write_bytes(content)  # killed between upload and removal
    assert rotate(path, place) == 50
    assert place.store.list("") == [key]
    assert place.store.get(key) == first
    (tmp_path / "t.parquet").write_bytes(first or b"")
    assert pq.read_metadata(tmp_path / "t.parquet").row_group(0).column(0).compression == "ZSTD"
    assert pq.read_schema(tmp_path / "t.parquet").metadata[b"ratchet.schema"] == b"answer/1"


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


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_wherever_a_kill_cuts_the_journal_only_the_torn_line_is_lost(place: RecordPlace, data: st.DataObject) -> None:
    lines = [line_of(at(i, f"a{i}")) for i in range(4)]
    whole = b"".join(lines)
    cut = data.draw(st.integers(0, len(whole)))
    path = place.journals / "2026-05-01T10-00000000.jsonl"
    place.journals.mkdir(exist_ok=True)
    path.write_bytes(whole[:cut])
    expected = whole[:cut].count(b"\n")
    assert [record.answer_id for record in read_journal(path)] == [f"a{i}" for i in range(expected)]
    assert rotate(path, place) == expected
    assert not path.exists()
    assert read_records(place, TEN, TEN + HOUR).height == expected
    for key in place.store.list(""):
        (Path(place.store.address) / key).unlink()


def test_a_line_that_a_dying_disk_left_blank_is_dropped_alone(
    place: RecordPlace, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(place, TEN, at(0, "a"))
    path.write_bytes(path.read_bytes() + bytes(40) + b"\n" + line_of(at(1, "b")))
    assert [record.answer_id for record in read_journal(path)] == ["a", "b"]
    assert caplog.messages == [f"dropped 1 lines of {path.name} that are not whole"]


def test_a_journal_somebody_writes_to_is_left_alone(place: RecordPlace) -> None:
    journal = Journal(place.journals, TEN)
    journal.append(line_of(at(0, "a")))
    assert rotate(journal.path, place) is None
    journal.close()
    assert rotate(journal.path, place) == 1
    assert rotate(journal.path, place) is None  # another process was first


def test_an_empty_journal_goes_without_a_file(place: RecordPlace) -> None:
    assert rotate(write(place, TEN), place) == 0
    assert (journals(place), place.store.list("")) == ([], [])


def test_two_writers_of_an_hour_have_two_files(place: RecordPlace) -> None:
    paths = [write(place, TEN, at(0, name)) for name in "ab"]
    assert [rotate(path, place) for path in paths] == [1, 1]
    assert sorted(ids(place, TEN, TEN + HOUR)) == ["a", "b"]


def test_other_files_in_the_folders_are_nobodys_records(place: RecordPlace) -> None:
    write(place, TEN, at(0, "a"))
    (place.journals / "notes.jsonl").write_text("{}")
    place.store.put_if_absent("2026-05-01/other.parquet", b"")
    assert ids(place, TEN, TEN + HOUR) == ["a"]
    assert len(journals(place)) == 1


def test_a_write_that_fails_is_taken_back(place: RecordPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(place.journals, TEN)
    journal.append(line_of(at(0, "a")))
    real = os.write

    def half(descriptor: int, data: Any) -> int:
        if len(data) < 200:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[:-100])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", half)
        with pytest.raises(OSError, match="No space left"):
            journal.append(line_of(at(1, "b")))
    assert not journal.is_torn
    journal.append(line_of(at(2, "c")))
    assert [record.answer_id for record in read_journal(journal.path)] == ["a", "c"]
    journal.close()


def test_a_write_that_cannot_be_taken_back_ends_the_journal(place: RecordPlace) -> None:
    journal = Journal(place.journals, TEN)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, journal._descriptor)
    os.close(full)
    with pytest.raises(OSError, match="No space left"):
        journal.append(b"x\n")
    assert journal.is_torn
    journal.close()


def test_a_folder_that_cannot_be_written_leaves_nothing_open(place: RecordPlace, monkeypatch: Any) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="No locks"):
        Journal(place.journals, TEN)
    assert list(place.journals.iterdir()) == []


def test_a_store_out_of_reach_delays_rotation_and_the_journal_stays(tmp_path: Path, fake_credentials: None) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        place = RecordPlace(tmp_path, open_store("s3://bucket/records", endpoint))
        path = write(place, TEN, at(0, "a"))
        with pytest.raises(ExternalError, match="cannot be reached"):
            rotate(path, place)
    assert [record.answer_id for record in read_journal(path)] == ["a"]


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


def test_a_journal_line_is_json_without_line_breaks_inside() -> None:
    line = line_of(answer(question="a\nb\u2028c"))
    assert line.count(b"\n") == 1
    assert json.loads(line)["messages"] == [{"role": "user", "content": "a\nb\u2028c"}]
