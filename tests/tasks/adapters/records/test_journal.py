"""Journals: lines whole or absent, and rotation into Parquet once."""

import errno
import fcntl
import json
import os
import socket
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.adapters.records.answer_log import read_records
from tasks.adapters.records.journal import Journal, journals, line_of, read_journal, rotate
from tasks.adapters.records.record_place import RecordPlace
from tasks.adapters.storage.object_store import open_store
from tasks.core.errors import ExternalError
from tests.tasks.adapters.records.conftest import HOUR, TEN, at, ids, write
from tests.tasks.answers import answer


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


def test_a_journal_line_is_json_without_line_breaks_inside() -> None:
    line = line_of(answer(question="a\nb\u2028c"))
    assert line.count(b"\n") == 1
    assert json.loads(line)["messages"] == [{"role": "user", "content": "a\nb\u2028c"}]
