"""The recorder: a request never waits for it or fails by it, a crash costs a second, nothing personal is written."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tasks.adapters.records.answer_log import read_records
from tasks.adapters.records.journal import journals, read_journal
from tasks.adapters.records.record_place import RecordPlace, open_records
from tasks.adapters.storage.object_store import FolderStore, open_store
from tasks.core.privacy.redaction import Redactor
from tasks.core.privacy.spans import Span
from tasks.core.records.answer import AnswerRecord
from tasks.serving.records import recording
from tasks.serving.records.recording import Counts, Recorder, open_recorder, redactor_of
from tasks.settings import Settings
from tests.tasks.answers import PLANTED, REDACTOR, answer

TEN = datetime(2026, 5, 1, 10, 20, tzinfo=UTC)
DAY = timedelta(days=1)
PROMISED_S = 1.0


@pytest.fixture
def place(tmp_path: Path) -> RecordPlace:
    return RecordPlace(tmp_path / "journal", FolderStore(tmp_path / "records"))


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = TEN

    def __call__(self) -> datetime:
        return self.now


def until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    """Wait for a background thread to get there."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def recorded_ids(place: RecordPlace) -> list[str]:
    return read_records(place, TEN - DAY, TEN + DAY)["answer_id"].to_list()


def test_what_is_recorded_is_on_disk_within_the_second_and_in_parquet_after_close(place: RecordPlace) -> None:
    recorder = Recorder(place, REDACTOR, clock=Clock())
    for i in range(3):
        recorder.record(answer(f"a{i}"))
    until(lambda: recorder.counts.recorded == 3, timeout_s=PROMISED_S * 5)
    (journal,) = journals(place)
    assert [record.answer_id for record in read_journal(journal)] == ["a0", "a1", "a2"]
    recorder.record(answer("a3"))
    assert recorder.close()
    assert recorder.counts == Counts(recorded=4, rotated=1)
    assert (journals(place), recorded_ids(place)) == ([], ["a0", "a1", "a2", "a3"])
    recorder.record(answer("a4"))
    assert recorder.counts == Counts(recorded=4, rotated=1, dropped=1)
    assert recorder.close()


def test_an_hour_that_is_over_is_rotated_while_the_next_one_is_written(place: RecordPlace) -> None:
    clock = Clock()
    recorder = Recorder(place, REDACTOR, clock=clock)
    recorder.record(answer("a"))
    assert recorder.flush()
    clock.now += timedelta(hours=1)
    until(lambda: recorder.counts.rotated == 1)  # without any traffic
    recorder.record(answer("b"))
    assert recorder.flush()
    assert [path.stem[:13] for path in journals(place)] == ["2026-05-01T11"]
    assert recorded_ids(place) == ["a", "b"]
    recorder.close()
    assert [key[:24] for key in place.store.list("")] == ["2026-05-01/2026-05-01T10", "2026-05-01/2026-05-01T11"]


class Stuck:
    """A recogniser that takes as long as a test wants."""

    def __init__(self) -> None:
        self.go_on, self.is_reached = threading.Event(), threading.Event()

    def find(self, texts: Sequence[str]) -> list[list[Span]]:
        self.is_reached.set()
        self.go_on.wait(30)
        return [[] for _ in texts]


@pytest.mark.parametrize("limits", [{"max_records": 10}, {"max_chars": 10 * len("userWhat is json.dumps?A function.")}])
def test_a_full_queue_costs_records_and_no_time(place: RecordPlace, limits: dict[str, int]) -> None:
    stuck = Stuck()
    recorder = Recorder(place, REDACTOR, recogniser=stuck, clock=Clock(), **limits)
    recorder.record(answer("first"))
    assert stuck.is_reached.wait(10)
    started = time.perf_counter()
    for i in range(1000):
        recorder.record(answer(f"a{i}"))
    assert time.perf_counter() - started < 5  # the writer will not move for 30 s
    assert recorder.counts == Counts(dropped=990, pending=11)
    assert not recorder.flush(timeout_s=0.01)
    stuck.go_on.set()
    assert recorder.close()
    assert recorder.counts == Counts(dropped=990, recorded=11, rotated=1)


class Slow:
    """A recogniser that takes its time, and counts how often it is asked."""

    def __init__(self) -> None:
        self.calls = 0

    def find(self, texts: Sequence[str]) -> list[list[Span]]:
        self.calls += 1
        time.sleep(0.05)
        return [[] for _ in texts]


def test_what_arrives_while_a_batch_is_written_waits_for_the_next_one(place: RecordPlace) -> None:
    slow = Slow()
    recorder = Recorder(place, REDACTOR, recogniser=slow, clock=Clock())
    end = time.monotonic() + 5 * recording.FLUSH_EVERY_S
    while time.monotonic() < end:
        recorder.record(answer("a"))
        time.sleep(0.005)
    assert slow.calls <= 6
    assert recorder.close()
    assert recorder.counts.recorded > slow.calls


def test_what_is_no_record_is_counted_and_raises_nothing(place: RecordPlace, caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(place, REDACTOR)
    recorder.record(None)  # type: ignore[arg-type]
    recorder.close()
    assert recorder.counts == Counts(dropped=1)
    assert caplog.messages == ["an answer was not recorded (AttributeError)"]


class Choosy:
    """A recogniser that breaks on one text."""

    def find(self, texts: Sequence[str]) -> list[list[Span]]:
        if any("jane.doe@corp.example" in text for text in texts):
            raise RuntimeError(f"cannot read {texts}")
        return [[] for _ in texts]


def test_a_record_that_cannot_be_redacted_is_not_written_and_takes_no_other_with_it(
    place: RecordPlace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder(place, REDACTOR, recogniser=Choosy(), clock=Clock())
    for name in ("a", "b", "c"):
        recorder.record(answer(name, "Who is jane.doe@corp.example?" if name == "b" else "Why?"))
    recorder.close()
    assert recorder.counts == Counts(recorded=2, failed=1, rotated=1)
    assert recorded_ids(place) == ["a", "c"]
    assert "jane" not in caplog.text


def test_nothing_is_written_when_no_redactor_works(place: RecordPlace) -> None:
    class Broken(Redactor):
        def redact(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError

    recorder = Recorder(place, Broken([], REDACTOR.pseudonyms), clock=Clock())
    recorder.record(answer("a"))
    recorder.close()
    assert recorder.counts == Counts(failed=1)
    assert not place.journals.exists()


def test_no_byte_on_disk_and_no_log_line_holds_planted_personal_data(
    place: RecordPlace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    recorder = Recorder(place, REDACTOR, clock=Clock())
    for i, value in enumerate(PLANTED):
        messages = [
            {"role": "system", "content": f"Mind {value} here."},
            {"role": "user", "content": f"Is it {value}?"},
        ]
        recorder.record(
            answer(
                f"a{i}",
                messages=messages,
                answer=f"It is {value}.",
                ungrounded=[value],
                parameters={"user": value, "stop": [value]},
            )
        )
    assert recorder.flush()
    assert scanned(tmp_path) == 1
    recorder.close()
    assert scanned(tmp_path) == 1
    assert recorder.counts == Counts(recorded=len(PLANTED), rotated=1)
    assert not [value for value in PLANTED if value in caplog.text]
    (redacted, *_) = read_records(place, TEN - DAY, TEN + DAY)["answer"]
    assert redacted.startswith("It is <EMAIL_")


def scanned(folder: Path) -> int:
    """Look for what was planted in every byte below `folder`, in tables' values too; return how many files it has."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in files:
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content += json.dumps(pl.read_parquet(path).to_dicts(), ensure_ascii=False).encode()
        assert b"a0" in content, "the scan sees what is there"
        assert not [value for value in PLANTED if value.encode() in content], path
    return len(files)


def test_an_answer_is_found_at_once_and_without_personal_data(place: RecordPlace) -> None:
    recorder = Recorder(place, REDACTOR, clock=Clock())
    recorder.record(answer("a", "Mail jane.doe@corp.example?"))
    found = recorder.find("a")
    assert found is not None
    assert found.messages[0]["content"].startswith("Mail <EMAIL_")
    assert recorder.find("b") is None
    recorder.close()
    assert recorder.find("a") == found


KILLED = """
import sys, time
from datetime import datetime
from pathlib import Path
from tasks.adapters.records.record_place import RecordPlace
from tasks.adapters.storage.object_store import FolderStore
from tasks.serving.records.recording import Recorder
from tests.tasks.answers import AT, REDACTOR, answer

root = Path(sys.argv[1])
place = RecordPlace(root / "journal", FolderStore(root / "records"))
recorder = Recorder(place, REDACTOR, clock=lambda: datetime.fromisoformat(AT))
for number in range(1_000_000):
    recorder.record(answer(f"a{number}", "What is json.dumps? " * 40))
    print(number, time.time(), flush=True)
    time.sleep(0.002)
"""


def start(repository: Path, code: str, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_kill_9_costs_at_most_the_last_second_and_the_next_start_completes_the_hour(
    place: RecordPlace, tmp_path: Path, repository: Path
) -> None:
    process = start(repository, KILLED, str(tmp_path))
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(3)
    killed_at = time.time()
    process.send_signal(signal.SIGKILL)
    output, _ = process.communicate(timeout=30)
    printed = [line.split(" ") for line in output.splitlines(keepends=True) if line.endswith("\n")]
    promised = [f"a{number}" for number, at in printed if float(at) < killed_at - PROMISED_S]
    assert len(promised) > 100

    (journal,) = journals(place)
    on_disk = [record.answer_id for record in read_journal(journal)]
    assert on_disk[: len(promised)] == ["a0", *promised][: len(promised)]
    assert on_disk == [f"a{number}" for number in range(len(on_disk))], "in order, none torn, none twice"

    recorder = Recorder(place, REDACTOR, clock=Clock())
    until(lambda: recorder.counts.rotated == 1)
    assert recorder.close()
    assert (journals(place), recorded_ids(place)) == ([], on_disk)


FULL = """
import resource, sys
from datetime import datetime
from pathlib import Path
from tasks.adapters.records.record_place import RecordPlace
from tasks.adapters.storage.object_store import FolderStore
from tasks.serving.records.recording import Recorder
from tests.tasks.answers import AT, REDACTOR, answer

root = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))
place = RecordPlace(root / "journal", FolderStore(root / "records"))
recorder = Recorder(place, REDACTOR, clock=lambda: datetime.fromisoformat(AT))
for batch in range(20):
    for number in range(5):
        recorder.record(answer(f"a{batch}-{number}", "What? " * 200))
    assert recorder.flush()
counts = recorder.counts
print(counts.recorded, counts.failed, counts.dropped, flush=True)
"""


def test_a_disk_without_room_costs_records_and_never_half_a_one(
    place: RecordPlace, tmp_path: Path, repository: Path
) -> None:
    process = start(repository, FULL, str(tmp_path))
    output, errors = process.communicate(timeout=60)
    recorded, failed, dropped = map(int, output.split())
    assert (recorded + failed, dropped) == (100, 0)
    assert recorded >= 10
    assert failed >= 10
    assert errors.count("cannot be recorded") == 1, "said once, not for every record"
    (journal,) = journals(place)
    assert len(list(read_journal(journal))) == recorded
    assert journal.read_bytes().count(b"\n") == recorded


def test_a_folder_that_cannot_be_made_costs_records_and_heals(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("in the way")
    place = RecordPlace(tmp_path / "journal", FolderStore(tmp_path / "records"))
    recorder = Recorder(place, REDACTOR, clock=Clock())
    recorder.record(answer("a"))
    assert recorder.flush()
    assert replace(recorder.counts, delayed=0) == Counts(failed=1)
    (tmp_path / "journal").unlink()
    recorder.record(answer("b"))
    assert recorder.close()
    assert replace(recorder.counts, delayed=0) == Counts(failed=1, recorded=1, rotated=1)
    assert recorded_ids(place) == ["b"]


def test_a_bucket_that_vanished_delays_rotation_until_it_is_back(
    tmp_path: Path, moto_endpoint: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import boto3

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setattr(recording, "ROTATE_EVERY_S", 0.05)
    bucket = f"records-{uuid.uuid4().hex[:12]}"
    place = RecordPlace(tmp_path / "journal", open_store(f"s3://{bucket}/served", moto_endpoint))
    clock = Clock()
    recorder = Recorder(place, REDACTOR, clock=clock)
    recorder.record(answer("a"))
    assert recorder.flush()
    clock.now += timedelta(hours=1)
    until(lambda: recorder.counts.delayed >= 2)
    assert replace(recorder.counts, delayed=0) == Counts(recorded=1)
    assert len(journals(place)) == 1
    assert f"The bucket {bucket!r} does not exist" in caplog.text
    client = boto3.session.Session().client("s3", endpoint_url=moto_endpoint, region_name="us-east-1")
    client.create_bucket(Bucket=bucket)
    until(lambda: recorder.counts.rotated == 1)
    assert recorder.close()
    assert (journals(place), recorded_ids(place)) == ([], ["a"])


def test_a_checkouts_recorder_uses_its_own_classes_key_and_folders(workdir: Path) -> None:
    config = workdir / "configs" / "curate" / "redact.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("extra_patterns: {STAFF_ID: 'E-[0-9]{6}'}\n")
    settings = Settings(home=workdir / "home", records_url=str(workdir / "records"))
    recorder = open_recorder(settings)
    recorder.record(answer("a", "Who is E-123456?", at=datetime.now(UTC).isoformat()))
    recorder.close()
    now = datetime.now(UTC)
    (messages,) = read_records(open_records(settings), now - DAY, now)["messages"].to_list()
    assert messages[0]["content"].startswith("Who is <STAFF_ID_")
    assert (workdir / "home" / "pseudonym.key").exists()
    assert redactor_of(settings).pseudonyms == redactor_of(settings).pseudonyms


def test_many_threads_record_at_once_and_nothing_is_lost(place: RecordPlace) -> None:
    recorder = Recorder(place, REDACTOR, clock=Clock())

    def ask(thread: int) -> None:
        for i in range(100):
            recorder.record(answer(f"{thread}-{i}"))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recorder.close()
    assert recorder.counts == Counts(recorded=800, rotated=1)
    ids = recorded_ids(place)
    assert len(set(ids)) == len(ids) == 800


def test_a_record_keeps_its_measurements(place: RecordPlace) -> None:
    written = answer("a", prompt_tokens=12, completion_tokens=3, ttft_s=0.1, seconds=0.4, cpu_s=None, cached=True)
    recorder = Recorder(place, REDACTOR, clock=Clock())
    recorder.record(written)
    recorder.close()
    (row,) = read_records(place, TEN - DAY, TEN + DAY).to_dicts()
    row["parameters"] = json.loads(row["parameters"])
    assert AnswerRecord.model_validate(row) == written
