"""Made-up measurements for tests of the gate, drawn as `tests/bench/gate.py` draws them."""

import importlib.util
import sys
from pathlib import Path

import polars as pl

from tasks.core.release.gate import Evidence, GateConfig, decide


def _load_bench():
    spec = importlib.util.spec_from_file_location("gate_bench", Path(__file__).parents[3] / "bench" / "gate.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["gate_bench"] = module
    spec.loader.exec_module(module)
    return module


BENCH = _load_bench()


CONFIG = GateConfig(resamples=1000, min_items=80, min_probe_items=50)


WORLD = BENCH.make_world(3, items=120, documents=60)


METRICS = ("score", "hallucinated", "ungrounded", "token_f1")


def evidence(gain: float, seed: int = 0, world=WORLD) -> Evidence:
    drawn = BENCH.draw(world, gain, seed)
    return Evidence(drawn.rows, drawn.probe, "champion", set(drawn.rows["item_id"]), set(drawn.probe["item_id"]))


def replace(e: Evidence, **changes) -> Evidence:
    return Evidence(**{**vars(e), **changes})


def promoted() -> Evidence:
    found = evidence(2.5)
    assert decide(found, CONFIG).outcome == "PROMOTE"
    return found


def set_values(rows: pl.DataFrame, column: str, value, model: str = "candidate", share: float = 1.0) -> pl.DataFrame:
    chosen = (pl.col("model") == model) & (pl.col("item_id").rank("dense") <= share * rows["item_id"].n_unique())
    return rows.with_columns(pl.when(chosen).then(pl.lit(value)).otherwise(pl.col(column)).alias(column))
