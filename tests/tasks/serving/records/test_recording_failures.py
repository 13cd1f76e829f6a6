"""A crash costs at most a second of records; a full disk or a lost store fails no request."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from tasks.adapters.records.journal import journals, read_journal
from tasks.adapters.records.record_place import RecordPlace
from tasks.adapters.storage.object_store import FolderStore
from tasks.serving.records.recording import Counts, Recorder
from tests.tasks.answers import REDACTOR, answer
from tests.tasks.serving.records.conftest import PROMISED_S, Clock, recorded_ids, until

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
