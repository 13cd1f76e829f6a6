"""A loop with made-up measurements: the folders that the stages before leave, small, and the real fetch and promote."""

import importlib.util
import json
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest

from tasks.adapters.monitoring.traffic_table import write_traffic
from tasks.adapters.storage.tables import CONVERSATION_SCHEMA, DOCUMENT_SCHEMA, frame_of, table_writer
from tasks.core.records.schema import Conversation, Document, Message
from tasks.finetune import fetch as fetch_stage
from tasks.release import promote as promote_stage
from tasks.settings import Settings

ITEMS, DOCUMENTS = 120, 60
SEEN_AT = "2026-01-01T00:00:00+00:00"
GOOD, EQUAL, BAD = 2.5, 0.0, -2.5  # in logits, see tests/bench/gate.py


def load_bench(repository: Path, name: str) -> ModuleType:
    """Import `tests/bench/<name>.py`."""
    spec = importlib.util.spec_from_file_location(f"bench_{name}", repository / "tests" / "bench" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@dataclass
class Loop:
    """One checkout: writes what earlier stages would, and runs fetch and promote on it."""

    settings: Settings
    bench: ModuleType
    config: promote_stage.Config = field(
        default_factory=lambda: promote_stage.Config(min_items=80, min_probe_items=50, resamples=1000, examples=4)
    )

    def folder(self, stage: str) -> Path:
        return self.settings.data / stage

    def curate(self) -> None:
        """Write split and index, and the reports of the stages before."""
        documents = [
            Document(
                id=f"document-{i:05d}", family=f"family-{i}", title=f"module.name_{i}", text=f"Text {i}.",
                source="files", uri=f"docs/{i}.md", licence="MIT" if i % 3 else "CC-BY-4.0", seen_at=SEEN_AT,
            )
            for i in range(DOCUMENTS * 2)
        ]  # fmt: skip
        asked = [self._conversation(i, f"item-{i:05d}") for i in range(ITEMS)]
        taught = [self._conversation(i, f"train-{i:05d}") for i in range(ITEMS * 3)]
        for stage in ("ingest", "redact", "validate", "clean", "dedup"):
            self._table(stage, "documents", documents, DOCUMENT_SCHEMA)
            self._table(stage, "conversations", asked + taught, CONVERSATION_SCHEMA)
            self._json(stage, "report.json", {"documents": len(documents), "note": "jane.doe@example.org"})
        self._json("ingest", "report.json", {"documents": DOCUMENTS * 2, "reasons": {"not UTF-8": 3}})
        (self.folder("ingest") / "quarantine.jsonl").write_text('{"reason": "raw: jane.doe@example.org"}\n')
        (self.folder("dedup") / "dropped.jsonl").write_text('{"id": "x", "reason": "near"}\n' * 7)
        self._table("split", "documents", documents, DOCUMENT_SCHEMA)
        self._table("split", "train", taught, CONVERSATION_SCHEMA)
        self._table("split", "eval", asked, CONVERSATION_SCHEMA)
        self._table("split", "holdout", [], CONVERSATION_SCHEMA)
        self._json("split", "report.json", {"dropped": {"held out": 2}})
        self._json("index", "index.json", {"version": "f" * 64})
        (self.folder("index") / "vectors.npy").write_bytes(b"\x93NUMPY" + bytes(500))
        self._json("index", "report.json", {"passages": 500})

    def train(self, seed: int = 0) -> None:
        """Write an adapter that follows from `seed`."""
        folder = self.folder("train")
        (folder / "adapter").mkdir(parents=True, exist_ok=True)
        (folder / "adapter" / "adapter_model.safetensors").write_bytes(bytes([seed]) * 4000)
        self._json("train/adapter", "adapter_config.json", {"r": 16})
        self._json("train", "prompt.json", {"version": 1, "digest": "e" * 64, "passages": 3})
        base = {"base_model": "smollm2-135m-instruct", "base_digest": "b" * 64, "index_version": "f" * 64}
        self._json("train", "report.json", {**base, "seed": seed, "tokens": 12345})

    def fetch(self) -> str | None:
        """Run the real stage and return the champion to beat."""
        out = self.folder("fetch")
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        report = fetch_stage.run(
            fetch_stage.Config(), self.folder("train"), self.folder("index"), out, settings=self.settings
        )
        self._json("fetch", "report.json", report.model_dump())
        return report.champion

    def evaluate(self, gain: float, seed: int = 0) -> None:
        """Write measurements of candidate, base and, where one was fetched, champion."""
        champion = json.loads((self.folder("fetch") / "champion.json").read_text())["digest"]
        drawn = self.bench.draw(self.bench.make_world(3, ITEMS, DOCUMENTS), gain, seed)
        rows, probe = (_with_base(table, has_champion=bool(champion)) for table in (drawn.rows, drawn.probe))
        self.folder("evaluate").mkdir(parents=True, exist_ok=True)
        rows.with_columns(
            kind=pl.col("cluster").str.slice(-1).replace_strict({"0": "default", "1": "module"}, default="purpose"),
            question=pl.format("What does {} do?", "item_id"),
            reference=pl.lit("It returns <b>bold</b> text & more."),
            answer=pl.format("{} says {}", "model", pl.col("score").round(2)),
            prompt_tokens=pl.lit(200),
            completion_tokens=pl.lit(20),
        ).write_parquet(self.folder("evaluate") / "rows.parquet")
        probe.write_parquet(self.folder("evaluate") / "probe.parquet")
        write_traffic(self.folder("evaluate") / "reference.parquet", [], np.empty((0, 3)), "embedder")
        self._json("evaluate", "summary.json", {"candidate": {"score": 0.5}})
        self._json("evaluate", "report.json", {"items": ITEMS})

    def inputs(self) -> promote_stage.Inputs:
        names = ("train", "fetch", "evaluate", "split", "index")
        return promote_stage.Inputs(*map(self.folder, names), roots=(self.settings.data,))

    def promote(self) -> promote_stage.PromoteReport:
        """Run the real stage."""
        out = self.folder("promote.part")
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        names = ("train", "fetch", "evaluate", "split", "index")
        report = promote_stage.run(self.config, *map(self.folder, names), out, settings=self.settings)
        shutil.rmtree(self.folder("promote"), ignore_errors=True)
        out.rename(self.folder("promote"))
        return report

    def turn(self, gain: float, seed: int = 0) -> promote_stage.PromoteReport:
        """Train, fetch, evaluate, promote."""
        self.train(seed)
        self.fetch()
        self.evaluate(gain, seed)
        return self.promote()

    def _conversation(self, i: int, name: str) -> Conversation:
        messages = [Message(role="user", content=f"Question {i}?"), Message(role="assistant", content=f"Answer {i}.")]
        return Conversation(
            id=name, family=f"family-{i}", messages=messages, document_ids=[], evidence="", answerable=True,
            withhold=False, kind="free", phrasing="", held_out=False, source="files", uri="", licence="MIT",
            seen_at=SEEN_AT,
        )  # fmt: skip

    def _table(self, stage: str, name: str, records: list, schema) -> None:
        with table_writer(self.folder(stage) / f"{name}.parquet", schema) as writer:
            writer.write(frame_of(records, schema))

    def _json(self, stage: str, name: str, value: object) -> None:
        self.folder(stage).mkdir(parents=True, exist_ok=True)
        (self.folder(stage) / name).write_text(json.dumps(value))


def _with_base(table: pl.DataFrame, *, has_champion: bool) -> pl.DataFrame:
    base = table.filter(pl.col("model") == "champion").with_columns(model=pl.lit("base"))
    kept = table if has_champion else table.filter(pl.col("model") != "champion")
    return pl.concat([kept, base])


@pytest.fixture
def loop(settings: Settings, repository: Path) -> Loop:
    """A curated checkout with a store of its own, nothing trained yet."""
    made = Loop(settings, load_bench(repository, "gate"))
    made.curate()
    return made
