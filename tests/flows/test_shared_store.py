"""Two checkouts that share a store, each with a candidate better than the base model, run at once.

One pointer move, both verdicts in the ledger, and the loser's exit code and sentence say what happened.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from tasks.adapters.release.registry import Registry
from tasks.adapters.storage.object_store import open_store
from tests.flows.conftest import Checkout, FirstRun, ask_for_little
from tests.tasks.adapters.conftest import make_store

pytestmark = pytest.mark.slow

SEEDS = (0, 1)  # of the training: two candidates


@pytest.fixture(scope="module")
def rivals(first_run: FirstRun, tmp_path_factory: pytest.TempPathFactory) -> list[Checkout]:
    """Two finished checkouts that differ in the seed of their training; their gate asks for little."""
    folder = tmp_path_factory.mktemp("rivals")
    checkouts = [first_run.copy(folder / f"checkout-{seed}") for seed in SEEDS]
    for seed, checkout in zip(SEEDS, checkouts, strict=True):
        ask_for_little(checkout)
        checkout.configure("finetune.train", {"seed": seed})
        output = sharing(checkout, str(folder / f"own-store-{seed}"), None).ratchet("run")
        assert "PROMOTE" in output, output[-2000:]
    return checkouts


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.s3)])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str | None]:
    """The address and endpoint of an empty store."""
    endpoint = request.getfixturevalue("s3_endpoint") if request.param == "s3" else None
    return make_store(request, request.param, tmp_path).address, endpoint


def sharing(checkout: Checkout, url: str, endpoint: str | None) -> Checkout:
    """Return the checkout with another store."""
    store = {"RATCHET_STORE_URL": url} | ({"RATCHET_S3_ENDPOINT_URL": endpoint} if endpoint else {})
    return replace(checkout, environment={**checkout.environment, **store})


def test_of_two_runs_at_once_one_moves_the_champion_and_the_other_says_who_did(
    rivals: list[Checkout], shared: tuple[str, str | None]
) -> None:
    processes = [sharing(checkout, *shared).start("run", "--reason", "race") for checkout in rivals]
    outputs = [process.communicate(timeout=600)[0] for process in processes]
    codes = [process.returncode for process in processes]
    assert sorted(codes) == [0, 4], outputs
    assert "Another run promoted" in outputs[codes.index(4)].splitlines()[-1]

    registry = Registry(open_store(*shared))
    registry.verify()
    entries = registry.ledger.entries()
    champion = registry.pointer("champion")
    assert champion is not None
    assert [e.content["model"] for e in entries if e.kind == "pointer" and e.content["name"] == "champion"] == [
        champion.model
    ]
    verdicts = [entry for entry in entries if entry.kind == "verdict"]
    assert {entry.content["candidate"] for entry in verdicts} == set(registry.models())
    assert len(registry.models()) == len(rivals)
    assert sum(entry.kind == "superseded" for entry in entries) == 1
    outcomes = sorted(entry.content["outcome"] for entry in entries if entry.kind == "flow")
    assert outcomes == ["completed", "failed: ExternalError"]
