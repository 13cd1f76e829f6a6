"""What recording costs a gateway: processor time of a record, and how long a request waits for it.

`python -m tests.bench.recording [--rate 200] [--seconds 8]`. Answers with a context of 1.8 kB from Python's own
documentation arrive at a steady rate; 5 % hold made-up personal data. Measured are the recorder's processor time from
the first record to the last one on disk (the pacing loop included), its rotation, and what `record` takes of the
caller. Patterns are compiled before the clock starts.

Baseline: the same redactor and the same journal, used as one would without a recorder: each answer is redacted, written
and flushed inside its request.
"""

import argparse
import os
import platform
import pydoc_data.topics
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles

from tasks.adapters.privacy.redactor import make_redactor
from tasks.adapters.records.answer_log import read_records
from tasks.adapters.records.journal import Journal, line_of
from tasks.adapters.records.record_place import RecordPlace
from tasks.adapters.storage.object_store import FolderStore
from tasks.core.chat import prompt
from tasks.core.privacy.record_redaction import redact_answers
from tasks.core.privacy.redaction import Redactor
from tasks.core.records.answer import AnswerRecord
from tasks.serving.records.recording import Recorder

CONTEXT_CHARS = 1800
PERSONAL = 0.05
WARM_UP, BASELINE = 64, 200
PROMISED_CPU_MS = 0.5
PROMISED_WAIT_MS = 1.0  # 99 of 100
PERSONAL_DATA = "Contact Margaret Whitfield at user{n}@corp.example or +1 415 555 {n:04d}."


@dataclass(frozen=True)
class Cost:
    cpu_ms: float
    """Processor time of one record."""
    waits_ms: list[float]
    """What each request waited."""

    @property
    def p99_ms(self) -> float:
        return quantiles(self.waits_ms, n=100)[98]


def answers(count: int, seed: int) -> list[AnswerRecord]:
    """Return made-up answers about real documentation."""
    rng = random.Random(seed)
    text = "\n".join(pydoc_data.topics.topics.values())
    made = []
    for n in range(count):
        start = rng.randrange(len(text) - CONTEXT_CHARS)
        question = f"What does item {n} do? " + (PERSONAL_DATA.format(n=n % 10_000) if rng.random() < PERSONAL else "")
        reply = text[start : start + 80]
        made.append(
            AnswerRecord(
                answer_id=f"a{n}", at=datetime.now(UTC).isoformat(), model="m" * 64, arm="champion", prompt_digest="p",
                index_version="i", engine="none", parameters={"temperature": 0.0},
                messages=prompt.render([text[start : start + CONTEXT_CHARS]], question), answer=reply,
                document_ids=["d"], retrieval_scores=[0.5], abstained=False, ungrounded=[], status="ok",
                finish_reason="stop", prompt_tokens=500, completion_tokens=20, ttft_s=0.1, seconds=0.3, cpu_s=None,
                key_id="k", cached=False, shadow_of=None,
            )
        )  # fmt: skip
    return made


def with_recorder(redactor: Redactor, folder: Path, rate: float, seconds: float) -> tuple[Cost, float]:
    """Return what records cost at `rate` a second, and the processor milliseconds of a record's rotation."""
    place = RecordPlace(folder / "journal", FolderStore(folder / "records"))
    recorder, made = Recorder(place, redactor), answers(int(rate * seconds), seed=1)
    waits = []
    begin, cpu = time.perf_counter(), time.process_time()
    for n, answer in enumerate(made):
        time.sleep(max(0.0, begin + n / rate - time.perf_counter()))
        before = time.perf_counter()
        recorder.record(answer)
        waits.append((time.perf_counter() - before) * 1e3)
    recorder.flush(60)
    cpu_ms = (time.process_time() - cpu) * 1e3 / len(made)
    cpu = time.process_time()
    recorder.close(60)
    rotation_ms = (time.process_time() - cpu) * 1e3 / len(made)
    now = datetime.now(UTC)
    kept = read_records(place, now.replace(year=now.year - 1), now).height
    if kept != len(made) or recorder.counts.recorded != len(made):
        raise SystemExit(f"{len(made)} answers were recorded and {kept} are there: {recorder.counts}")
    return Cost(cpu_ms, waits), rotation_ms


def in_the_request(redactor: Redactor, folder: Path) -> Cost:
    """Return what records cost where each is redacted, written and flushed by itself."""
    journal, made, waits = Journal(folder / "journal", datetime.now(UTC)), answers(BASELINE, seed=1), []
    cpu = time.process_time()
    for answer in made:
        before = time.perf_counter()
        journal.append(line_of(redact_answers(redactor, [answer])[0]))
        waits.append((time.perf_counter() - before) * 1e3)
    cpu_ms = (time.process_time() - cpu) * 1e3 / len(made)
    journal.close()
    return Cost(cpu_ms, waits)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rate", type=float, default=200.0, help="answers a second")
    parser.add_argument("--seconds", type=float, default=8.0)
    arguments = parser.parse_args()
    redactor = make_redactor(b"bench")
    with tempfile.TemporaryDirectory() as folder:
        redact_answers(redactor, answers(WARM_UP, seed=2))
        with_recorder(redactor, Path(folder) / "warm-up", rate=WARM_UP, seconds=1)
        baseline = in_the_request(redactor, Path(folder) / "baseline")
        cost, rotation_ms = with_recorder(redactor, Path(folder) / "recorder", arguments.rate, arguments.seconds)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {arguments.rate:g} answers a second")
    print(f"{'':24} {'CPU-ms a record':>16} {'wait ms, median':>16} {'wait ms, p99':>14}")
    for name, one in (("in the request", baseline), ("recorder", cost)):
        print(f"{name:24} {one.cpu_ms:16.3f} {median(one.waits_ms):16.3f} {one.p99_ms:14.3f}")
    print(
        f"{'ratio':24} {baseline.cpu_ms / cost.cpu_ms:16.1f} {median(baseline.waits_ms) / median(cost.waits_ms):16.0f}"
    )
    print(f"rotation into Parquet: {rotation_ms:.3f} CPU-ms a record, once an hour")
    if cost.cpu_ms > PROMISED_CPU_MS or cost.p99_ms > PROMISED_WAIT_MS:
        print(f"missed: at most {PROMISED_CPU_MS} CPU-ms a record and {PROMISED_WAIT_MS} ms wait are promised")
        sys.exit(1)


if __name__ == "__main__":
    main()
