"""The whole loop on the embedded default, small: real model, real stages, real DVC and Prefect, no network.

The tests of this module share one checkout and run in order: each goes on from what the one before left.
"""

import re
import shutil
import subprocess
import time
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tasks.adapters.release.ledger import Ledger
from tasks.adapters.storage.object_store import open_store
from tests.flows.conftest import Checkout, FirstRun

pytestmark = pytest.mark.slow

NO_OP_S = 60


def ledger(checkout: Checkout) -> Ledger:
    return Ledger(open_store(str(checkout.root / ".ratchet/store"), None))


def stage_digests(checkout: Checkout) -> dict[str, str]:
    """Return the digest DVC locked for each stage's folder."""
    lock = yaml.safe_load((checkout.root / "dvc.lock").read_text())
    return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}


@pytest.fixture(scope="module")
def checkout(first_run: FirstRun, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return first_run.copy(tmp_path_factory.mktemp("retrain") / "checkout")


@pytest.fixture(scope="module")
def output(first_run: FirstRun) -> str:
    return first_run.output


def test_the_run_ends_with_a_verdict_and_its_numbers(output: str) -> None:
    assert re.search(r"(PROMOTE|REJECT|INCONCLUSIVE)", output)
    assert "hallucination" in output.lower() or "made-up" in output.lower()
    assert "release_note.html" in output
    assert "Traceback" not in output


def test_no_process_of_the_run_reached_for_the_network(first_run: FirstRun) -> None:
    refused = Path(first_run.checkout.environment["SOCKET_GUARD_LOG"])
    assert not refused.exists(), refused.read_text()


def test_why_leads_from_the_candidate_back_to_the_documents(checkout: Checkout) -> None:
    chain = checkout.ratchet("why", "candidate")
    for link in ("adapter", "base", "prompt", "python_reference", "verdict"):
        assert link in chain.lower()


def test_the_ledger_of_the_run_verifies(checkout: Checkout) -> None:
    ledger(checkout).verify()
    kinds = [entry.kind for entry in ledger(checkout).entries()]
    assert [kinds.count(kind) for kind in ("run", "verdict", "flow")] == [1, 1, 1]


def test_git_sees_no_change_but_dvc_s_lock(checkout: Checkout) -> None:
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=checkout.root, capture_output=True, text=True, check=True
    )
    changed = {line[3:] for line in status.stdout.splitlines()}
    assert not {name for name in changed if not name.startswith(("configs/", "dvc.lock"))}


def test_a_second_run_is_quick_runs_no_stage_moves_nothing_and_says_so(checkout: Checkout) -> None:
    before = checkout.ratchet("why", "candidate"), stage_digests(checkout)
    started = time.monotonic()
    output = checkout.ratchet("run")
    assert time.monotonic() - started < NO_OP_S
    assert "nothing changed" in output.lower()
    assert (checkout.ratchet("why", "candidate"), stage_digests(checkout)) == before


def test_dvc_alone_finds_nothing_to_do_and_shows_metrics_and_plots(checkout: Checkout) -> None:
    assert "up to date" in checkout.dvc("status")
    assert "up to date" in checkout.dvc("repro")
    assert "score" in checkout.dvc("metrics", "show")
    assert "file://" in checkout.dvc("plots", "show")


def test_a_candidate_trained_on_corrupted_answers_is_rejected(checkout: Checkout) -> None:
    split, corrupted = checkout.root / "data/split", checkout.root / "data/corrupted/split"
    shutil.copytree(split, corrupted)
    train = pq.read_table(split / "train.parquet")
    rows = train.to_pylist()
    for row in rows:
        row["messages"][-1]["content"] = row["messages"][-1]["content"][::-1]
    pq.write_table(pa.Table.from_pylist(rows, schema=train.schema), corrupted / "train.parquet")
    (checkout.root / "configs/profiles/corrupted.yaml").write_text("finetune.train:\n  max_examples: 48\n")
    for stage in ("finetune.train", "finetune.fetch", "finetune.evaluate", "release.promote"):
        checkout.ratchet("stage", stage, "--profile", "corrupted")
    verdict = checkout.json("data/corrupted/promote/verdict.json")
    assert verdict["outcome"] == "REJECT", verdict["reasons"]


def test_with_every_cache_cleared_dvc_alone_makes_the_same_bytes(checkout: Checkout) -> None:
    before = stage_digests(checkout)
    rows = pl.read_parquet(checkout.root / "data/evaluate/rows.parquet")
    for folder in (".dvc/cache", "data", ".ratchet/answers", ".ratchet/embeddings", ".ratchet/checkpoints"):
        shutil.rmtree(checkout.root / folder, ignore_errors=True)
    checkout.dvc("repro")
    assert stage_digests(checkout) == before
    assert pl.read_parquet(checkout.root / "data/evaluate/rows.parquet").equals(rows)


def test_a_profile_works_beside_the_tracked_state(checkout: Checkout) -> None:
    before = stage_digests(checkout)
    checkout.ratchet("stage", "curate.dedup", "--set", "curate.dedup.threshold=0.8")
    assert (checkout.root / "data/trial/dedup/report.json").exists()
    assert "up to date" in checkout.dvc("status")
    assert stage_digests(checkout) == before
