"""Served traffic in a checkout of its own: records in a journal, and a version of the registry with a reference."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.adapters.monitoring.traffic_table import write_traffic
from tasks.adapters.records.journal import Journal, line_of
from tasks.adapters.records.record_place import open_records
from tasks.adapters.release.registry import Registry
from tasks.adapters.retrieval.embedder import Embedder, load_embedder
from tasks.adapters.storage.object_store import open_store
from tasks.core.monitoring.served_traffic import row_of
from tasks.core.records.answer import AnswerRecord
from tasks.monitor import collect as collect_stage
from tasks.monitor import drift as drift_stage
from tasks.settings import Settings
from tests.tasks.answers import answer

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
MODEL = "5" * 64
USUAL = [
    f"What does {module}.{name} {verb}?"
    for module in ("json", "os.path", "shutil", "re", "csv", "gzip", "pickle", "hashlib", "glob", "string")
    for name in ("open", "dumps", "join", "copy", "match", "reader")
    for verb in ("return", "do")
]
NEW = [
    f"How does scipy.stats.{name} {verb} the {of}?"
    for name in ("norm", "ttest_ind", "kstest", "pearsonr", "gamma")
    for verb in ("estimate", "sample", "integrate")
    for of in ("probability density", "variance of a distribution", "quantile")
]


def served(
    questions: list[str], rows: int, seed: int, until: datetime, *, good: float = 0.9, retrieval: float = 0.7
) -> list[AnswerRecord]:
    """Return answers to the questions in the hour before `until`, the share `good` of them given and grounded."""
    rng = random.Random(seed)
    found = []
    for row in range(rows):
        is_good = rng.random() < good
        at = until - timedelta(minutes=55) + timedelta(seconds=3000 * row / rows)
        found.append(
            answer(
                answer_id=f"{seed}-{row}",
                question=rng.choice(questions),
                at=at.isoformat(),
                model=MODEL,
                answer="It returns the joined path." if is_good else "The context does not say.",
                retrieval_scores=[round(min(max(rng.gauss(retrieval, 0.05), 0), 1), 4)],
                abstained=not is_good,
                ungrounded=[],
                seconds=rng.lognormvariate(0, 0.2),
                cpu_s=rng.lognormvariate(-1, 0.2),
            )
        )
    return found


@dataclass
class Traffic:
    """The records and the store of a gateway, and the two monitor stages that read them."""

    settings: Settings
    embedder: Embedder

    def serve(self, answers: list[AnswerRecord], at: datetime = NOW) -> None:
        """Write the answers down as a gateway does."""
        journal = Journal(open_records(self.settings).journals, at)
        journal.append(b"".join(map(line_of, answers)))
        journal.close()

    def refer(self, answers: list[AnswerRecord]) -> None:
        """Make the version's reference from the answers, without their times and costs."""
        rows = [{**row_of(answer, None), "latency_s": None, "cost": None} for answer in answers]
        path = self.settings.data / "reference.parquet"
        write_traffic(path, rows, self.embedder.embed([row["question"] for row in rows]), self.embedder.digest)
        self.registry.keep_reference(MODEL, path)

    @property
    def registry(self) -> Registry:
        return Registry(open_store(self.settings.store_url))

    def collect(self, **values: object) -> collect_stage.CollectReport:
        return collect_stage.run(
            collect_stage.Config.model_validate({"min_rows": 100, **values}),
            self.folder("collect"),
            settings=self.settings,
        )

    def drift(self, **values: object) -> drift_stage.DriftReport:
        config = {"min_rows": 100, "keeps_history": False, **values}
        return drift_stage.run(
            drift_stage.Config.model_validate(config),
            self.settings.data / "collect",
            self.folder("drift"),
            settings=self.settings,
        )

    def folder(self, stage: str) -> Path:
        folder = self.settings.data / stage
        folder.mkdir(parents=True, exist_ok=True)
        return folder


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    """The real embedder, loaded once because loading is slow."""
    return load_embedder()


@pytest.fixture
def traffic(settings: Settings, tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> Traffic:
    """A checkout at noon whose version MODEL is monitored."""
    monkeypatch.setattr("tasks.adapters.retrieval.embedder.load_embedder", lambda *_: embedder)
    places = {"records_url": str(tmp_path / "records"), "feedback_url": str(tmp_path / "feedback")}
    monkeypatch.setattr(collect_stage, "monitored_model", lambda *_: MODEL)
    clock(monkeypatch, NOW)
    return Traffic(settings.model_copy(update=places), embedder)


def clock(monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    """Set the monitor's clock to `now`."""
    monkeypatch.setattr(collect_stage, "_now", lambda: now + timedelta(seconds=collect_stage.SETTLE_S))
