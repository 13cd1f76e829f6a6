"""The monitor's flow over real records, stages and Prefect: what it says, shows and sends."""

import random
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import yaml
from prefect.settings import PREFECT_API_URL
from prefect.testing.utilities import prefect_test_harness

from tasks.adapters.monitoring.traffic_table import write_traffic
from tasks.adapters.monitoring.window_log import WindowLog
from tasks.adapters.records.journal import Journal, line_of
from tasks.adapters.records.record_place import open_records
from tasks.adapters.retrieval.embedder import load_embedder
from tasks.adapters.storage.object_store import open_store
from tasks.core.monitoring.served_traffic import row_of
from tasks.core.records.answer import AnswerRecord
from tasks.settings import Settings
from tests.flows.conftest import Hook

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

MODULES = ("json", "csv", "shutil", "glob", "gzip", "pickle", "string", "base64")
USUAL = [f"What does {m}.{name} return?" for m in MODULES for name in ("open", "dumps", "join", "copy", "match")]
NEW = [f"How does colorsys convert {a} to {b}?" for a in ("rgb", "hls", "yiq", "hsv") for b in ("rgb", "hls", "yiq")]


def answers(
    questions: list[str], rows: int, seed: int, *, good: float, last: datetime | None = None
) -> list[AnswerRecord]:
    """Answers of the base model, one a second, the latest a minute ago or at `last`, closer to each other."""
    rng, now = random.Random(seed), last or datetime.now(UTC) - timedelta(minutes=1)
    step = timedelta(milliseconds=1) if last else timedelta(seconds=1)
    return [
        AnswerRecord.model_validate(
            {
                "answer_id": f"{seed}-{row}", "at": (now - row * step).isoformat(), "model": "base",
                "arm": "champion", "prompt_digest": "p", "index_version": "i", "engine": "openvino", "parameters": {},
                "messages": [{"role": "user", "content": rng.choice(questions)}], "answer": "It returns text.",
                "document_ids": [], "retrieval_scores": [0.6], "abstained": rng.random() > good, "ungrounded": [],
                "status": "ok", "finish_reason": "stop", "prompt_tokens": 10, "completion_tokens": 5, "ttft_s": 0.1,
                "seconds": 1.0, "cpu_s": 0.5, "key_id": None, "cached": False, "shadow_of": None,
            }
        )
        for row in range(rows)
    ]  # fmt: skip


@pytest.fixture
def settings(workdir: Path, repository: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A checkout whose base model has served usual questions, and lately others too."""
    shutil.copytree(repository / "configs", "configs")
    config = Path("configs/monitor/drift.yaml")
    offers = {"min_rows": 100, "offers": [{"packages": ["colorsys"]}]}
    config.write_text(yaml.safe_dump({**yaml.safe_load(config.read_text()), **offers}))
    monkeypatch.setenv("RATCHET_ALERT_WEBHOOK_URL", hook.url)
    monkeypatch.setenv("PYTHONPATH", str(repository))
    settings = Settings()
    rows = [row_of(answer, None) for answer in answers(USUAL, 300, 1, good=0.95)]
    embedder = load_embedder()
    write_traffic(workdir / "served.parquet", rows, embedder.embed([row["question"] for row in rows]), embedder.digest)
    WindowLog(open_store(settings.store_url), "base").keep_served(workdir / "served.parquet")
    serve(settings, 2)
    return settings


def serve(settings: Settings, seed: int, last: datetime | None = None) -> None:
    """Write records of answers, a third of them about the new topic."""
    lately = [*answers(USUAL, 160, seed, good=0.95, last=last), *answers(NEW, 80, seed + 1, good=0.1, last=last)]
    journal = Journal(open_records(settings).journals, datetime.now(UTC))
    journal.append(b"".join(map(line_of, lately)))
    journal.close()


def test_a_new_topic_is_said_at_once_and_sent_when_the_next_window_has_it_too(settings: Settings, hook: Hook) -> None:
    log = WindowLog(open_store(settings.store_url), "base")
    with prefect_test_harness(server_startup_timeout=120):
        from flows.monitor import monitor

        said = "\n".join(monitor())
        assert "SUSPECTED" in said
        assert "Add documents: colorsys." in said
        assert "ratchet.drift.detected" not in said
        assert not hook.bodies, "one window starts nothing"
        serve(settings, 4, last=datetime.fromisoformat(log.last(1)[0].until) + timedelta(seconds=1))
        said = "\n".join(monitor())
        found = httpx.post(f"{PREFECT_API_URL.value()}/artifacts/filter", json={"limit": 50}, timeout=30).json()
    shown = {artifact["key"]: artifact["data"] for artifact in sorted(found, key=lambda made: str(made["created"]))}
    assert "CONFIRMED" in said
    told = {body["event"]: body for body in hook.bodies}
    assert set(told) == {"ratchet.drift.detected", "ratchet.quality.degraded"}
    sent = told["ratchet.drift.detected"]
    assert (sent["severity"], sent["packages"]) == ("high", ["colorsys"])
    page = Path(sent["report"].removeprefix("file://"))
    assert "colorsys" in page.read_text()
    assert sent["report"] in shown["drift-page"]
    assert "question_embedding" in shown["drift-columns"]
    assert "colorsys" in shown["drift-parts"]
    assert log.numbers() == [1, 2]
    assert (settings.home / "evidently").is_dir()
    history = b"".join(path.read_bytes() for path in (settings.home / "evidently").rglob("*") if path.is_file())
    assert b"colorsys" not in history, "Evidently is given numbers alone"
