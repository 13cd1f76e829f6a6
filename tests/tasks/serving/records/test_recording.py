"""The recorder: a request never waits for it or fails by it, and what it took is counted."""

import json
import threading
import time
from collections.abc import Sequence

import pytest

from tasks.adapters.records.answer_log import read_records
from tasks.adapters.records.journal import journals, read_journal
from tasks.adapters.records.record_place import RecordPlace
from tasks.core.privacy.spans import Span
from tasks.core.records.answer import AnswerRecord
from tasks.serving.records import recording
from tasks.serving.records.recording import Counts, Recorder
from tests.tasks.answers import REDACTOR, answer
from tests.tasks.serving.records.conftest import DAY, PROMISED_S, TEN, Clock, recorded_ids, until


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
