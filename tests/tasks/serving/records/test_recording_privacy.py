"""Nothing personal is written: neither to disk nor to the log, also where redaction fails."""

import json
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tasks.adapters.records.answer_log import read_records
from tasks.adapters.records.record_place import RecordPlace, open_records
from tasks.core.privacy.redaction import Redactor
from tasks.core.privacy.spans import Span
from tasks.serving.records.recording import Counts, Recorder, open_recorder, redactor_of
from tasks.settings import Settings
from tests.tasks.answers import PLANTED, REDACTOR, answer
from tests.tasks.serving.records.conftest import DAY, TEN, Clock, recorded_ids


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
