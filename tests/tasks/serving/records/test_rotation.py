import uuid
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tasks.adapters.records.journal import journals
from tasks.adapters.records.record_place import RecordPlace
from tasks.adapters.storage.object_store import open_store
from tasks.serving.records import rotation
from tasks.serving.records.recording import Counts, Recorder
from tests.tasks.answers import REDACTOR, answer
from tests.tasks.serving.records.conftest import Clock, recorded_ids, until


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


def test_a_bucket_that_vanished_delays_rotation_until_it_is_back(
    tmp_path: Path, moto_endpoint: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import boto3

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setattr(rotation, "ROTATE_EVERY_S", 0.05)
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
