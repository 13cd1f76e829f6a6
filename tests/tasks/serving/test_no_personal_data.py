"""Planted personal data goes in as questions, answers and feedback; then every byte that the gateway left is read."""

import gzip
import io
import logging
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tasks.adapters.records.feedback_store import FeedbackStore
from tasks.serving.pages import dashboard_page
from tasks.serving.pages.dashboard import BoardReader
from tasks.serving.records.review import Review
from tests.tasks.answers import PLANTED

SECRET = "sk-proj-Zx81kQpLm29VtRw7YbN4sD6f"
ITEMS = [*PLANTED, SECRET]


def forms(item: str) -> list[bytes]:
    """Return the item as it could stand in a file: as it is, and as JSON or a URL would write it."""
    bare = item.replace(" ", "")
    return [text.encode(codec) for text in {item, bare, item.replace(" ", "+")} for codec in ("utf-8", "utf-16-le")]


def bytes_of(path: Path) -> bytes:
    """Return a file's bytes and, where they are packed, what is packed."""
    data = path.read_bytes()
    if path.suffix == ".parquet":
        return data + str(pl.read_parquet(path).to_dicts()).encode()
    return data + gzip.GzipFile(fileobj=io.BytesIO(data)).read() if data[:2] == b"\x1f\x8b" else data


def test_nothing_that_the_gateway_leaves_holds_personal_data(
    house: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said = "Write to Jane Doe, " + ", ".join(ITEMS)
    answers = [house.ask(f"Who is {item}? {said}", f"It is {item} of {said}.") for item in ITEMS]
    for answer, item in zip(answers, ITEMS, strict=True):
        kept = house.say({"answer_id": answer, "thumb": "down", "correction": f"No, {item}. {said}", "reason": said})
        assert kept.status_code == 201
        assert_clean(kept.content, "the reply to feedback")
    for broken in ({"answer_id": said, "thumb": "up"}, {"answer_id": "a", "thumb": said}, {said: 1}, said):
        assert_clean(house.say(broken).content, "a refusal of feedback")
    house.live.engine.error = ValueError(said)
    house.live.post({"model": "ratchet", "messages": [{"role": "user", "content": said}], "user": said})
    assert_clean(house.live.post({"model": said, "messages": []}).content, "a refusal of a question")
    house.live.engine.error = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FeedbackStore, "accept", failing(said))
        patch.setattr(dashboard_page, "render", failing(said))
        assert house.say({"answer_id": "a", "thumb": "up"}).status_code == 500
        assert house.live.get("/", house.live.admin).status_code == 500
    assert "test_no_personal_data.py" in caplog.text  # the log says where
    assert house.recorder.flush()
    pages = ["/", "/review", "/metrics", "/evidence/metrics", "/openapi.json", "/readyz"]
    for path in pages:
        reply = house.live.get(path, house.live.admin)
        assert reply.status_code == 200
        assert_clean(reply.content, path)
    review = Review(house.settings)
    queue = review.queue(1, 20)
    review.keep(queue[0], "correct", correction=said, reason=said, reviewer=house.live.admin)
    assert_clean(repr(BoardReader(house.settings).read()).encode(), "what the dashboard keeps")
    assert_clean(repr(queue).encode(), "what the review page keeps")
    assert_clean(caplog.text.encode(), "the log")
    scanned = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert house.recorder.close()
    scanned += [path for path in tmp_path.rglob("*.parquet") if path.is_file()]
    for path in scanned:
        if path.exists():
            assert_clean(bytes_of(path), str(path))
    kinds = {path.suffix for path in scanned}
    assert {".jsonl", ".parquet"} <= kinds
    assert "_" in house.kept()[0].question  # a pseudonym stands there, so the texts were kept at all


def failing(text: str) -> Any:
    """Return a function that fails with the text."""

    def fail(*_: object) -> None:
        raise ValueError(text)

    return fail


def assert_clean(data: bytes, where: str) -> None:
    for item in ITEMS:
        for form in forms(item):
            assert form not in data, f"{where} holds {item!r}"
