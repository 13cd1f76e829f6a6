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

from tasks.adapters.embedder import load_embedder
from tasks.adapters.record_log import Journal, line_of, open_records
from tasks.adapters.storage import open_store
from tasks.adapters.traffic_table import write_traffic
from tasks.adapters.watch_log import WatchLog
from tasks.core.answer_record import AnswerRecord
from tasks.core.served_traffic import row_of
from tasks.settings import Settings

from .conftest import Hook  # type: ignore[import-not-found]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

MODULES = ("json", "csv", "shutil", "glob", "gzip", "pickle", "string", "base64")
USUAL = [f"What does {m}.{name} return?" for m in MODULES for name in ("open", "dumps", "join", "copy", "match")]
NEW = [f"How does colorsys convert {a} to {b}?" for a in ("rgb", "hls", "yiq", "hsv") for b in ("rgb", "hls", "yiq")]


def answers(questions: list[str], rows: int, seed: int, *, good: float) -> list[AnswerRecord]:
    rng, now = random.Random(seed), datetime.now(UTC) - timedelta(minutes=1)
    return [
        AnswerRecord.model_validate(
            {
                "answer_id": f"{seed}-{row}", "at": (now - timedelta(seconds=row)).isoformat(), "model": "base",
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
    WatchLog(open_store(settings.store_url), "base").keep_served(workdir / "served.parquet")
    journal = Journal(open_records(settings.home, settings.records_url, None).journals, datetime.now(UTC))
    lately = [*answers(USUAL, 160, 2, good=0.95), *answers(NEW, 80, 3, good=0.1)]
    journal.append(b"".join(map(line_of, lately)))
    journal.close()
    return settings


def test_a_new_topic_is_said_shown_and_sent(settings: Settings, hook: Hook) -> None:
    with prefect_test_harness(server_startup_timeout=120):
        from flows.monitor import monitor

        said = "\n".join(monitor())
        found = httpx.post(f"{PREFECT_API_URL.value()}/artifacts/filter", json={"limit": 50}, timeout=30).json()
    shown = {artifact["key"]: artifact["data"] for artifact in found}
    assert "SUSPECTED" in said
    assert "Add documents: colorsys." in said
    assert "ratchet.drift.detected" in said
    (sent,) = hook.bodies
    assert (sent["event"], sent["severity"], sent["packages"]) == ("ratchet.drift.detected", "high", ["colorsys"])
    page = Path(sent["report"].removeprefix("file://"))
    assert "colorsys" in page.read_text()
    assert sent["report"] in shown["drift-page"]
    assert "question_embedding" in shown["drift-columns"]
    assert "colorsys" in shown["drift-parts"]
    assert WatchLog(open_store(settings.store_url), "base").numbers() == [1]
    assert (settings.home / "evidently").is_dir()
    history = b"".join(path.read_bytes() for path in (settings.home / "evidently").rglob("*") if path.is_file())
    assert b"colorsys" not in history, "Evidently is given numbers alone"
