"""`ratchet demo`: the whole story once, with models that know little."""

import json
from pathlib import Path

import psutil
import pytest
import yaml

from tasks.adapters.storage.object_store import open_store
from tests.browser import chromium
from tests.flows.conftest import FirstRun, ask_for_little


@pytest.mark.slow
def test_the_whole_story_is_told_in_a_copy_and_the_checkout_stays_as_it_was(
    first_run: FirstRun, tmp_path: Path
) -> None:
    checkout = first_run.copy(tmp_path / "checkout")
    ask_for_little(checkout)
    assert "PROMOTE" in checkout.ratchet("run", "--reason", "a champion to begin with")
    pointer, configs = checkout.json(".ratchet/store/pointers/champion.json"), digest_of(checkout.root / "configs")
    told = checkout.ratchet("demo", "--profile", "demo_short", timeout_s=1500)
    assert checkout.json(".ratchet/store/pointers/champion.json") == pointer
    assert digest_of(checkout.root / "configs") == configs
    folder = checkout.root / ".ratchet/demo"
    run = json.loads((folder / "evidence/retrain_run.json").read_text())
    assert run["created_by"]["type"] == "AUTOMATION"
    assert run["parameters"]["request"]["add_packages"] == ["joblib"]
    sources = yaml.safe_load((folder / "checkout/configs/curate/ingest.yaml").read_text())["sources"]
    assert {"kind": "package_reference", "packages": ["joblib"]} in sources
    moves = [line for line in told.splitlines() if "Every running gateway has followed" in line]
    assert len(moves) == 2, "the drill goes back and forth"
    kinds = ledger_kinds(folder / "checkout/.ratchet/store")
    assert kinds.count("rollout") >= 2
    assert kinds.count("rollback") == 2
    left = [p for p in psutil.process_iter(["cwd"]) if str(folder) in str(p.info["cwd"])]
    assert not left, left
    look_at(folder / "index.html", tmp_path / "demo.png")


def digest_of(folder: Path) -> dict[str, str]:
    return {str(path): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def ledger_kinds(store: Path) -> list[str]:
    from tasks.adapters.release.ledger import Ledger

    return [entry.kind for entry in Ledger(open_store(str(store))).entries()]


def look_at(page: Path, picture: Path) -> None:
    with chromium() as browser:
        shown, asked = browser.new_page(viewport={"width": 1100, "height": 900}), list[str]()
        shown.on("request", lambda request: asked.append(request.url))
        shown.goto(page.as_uri())
        assert shown.locator("section h2").count() >= 9
        assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
        shown.screenshot(path=str(picture), full_page=True)
    assert asked == [page.as_uri()]
