"""`ratchet demo`: the copy it plays in, the page it leaves, and the whole story once, with models that know little."""

import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
import yaml

from flows.demo.page import Chapter, Quality, Story, write_story
from flows.demo.sandbox import make_sandbox
from tasks.adapters.storage.object_store import open_store
from tasks.core.errors import ConfigError, DataError
from tasks.settings import Settings
from tests.browser import chromium
from tests.flows.conftest import REPOSITORY, FirstRun, ask_for_little
from tests.tasks.conftest import GOOD, Loop, load_bench


@pytest.fixture
def loop(workdir: Path, settings: Settings, repository: Path) -> Loop:
    """A curated checkout, a git repository with configs, nothing trained yet."""
    made = Loop(settings, load_bench(repository, "gate"))
    made.curate()
    shutil.copytree(REPOSITORY / "configs", workdir / "configs")
    (workdir / ".gitignore").write_text(".ratchet/\ndata/\nstore/\n")
    subprocess.run(["git", "init", "-q"], check=True, cwd=workdir)
    return made


def test_without_a_champion_there_is_nothing_to_begin_with(loop: Loop, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no champion yet: `ratchet run` makes one"):
        make_sandbox(tmp_path / "copy", loop.settings, "demo")


def test_a_profile_that_is_not_there_is_said_before_anything_is_copied(loop: Loop, tmp_path: Path) -> None:
    loop.turn(GOOD)
    keep_some_reference(loop.settings)
    with pytest.raises(ConfigError, match=r"'other' has no file configs/profiles/other.yaml"):
        make_sandbox(tmp_path / "copy", loop.settings, "other")
    assert not (tmp_path / "copy").exists()


def test_the_copy_has_the_champion_and_the_profile_and_nothing_of_the_records(loop: Loop, tmp_path: Path) -> None:
    champion = loop.turn(GOOD).candidate
    keep_some_reference(loop.settings)
    (loop.settings.home / "journal").mkdir(parents=True)
    sources = {"sources": [{"kind": "files", "documents": ["handbook/", "s3://bucket/a/"], "conversations": []}]}
    Path("configs/curate/ingest.yaml").write_text(yaml.safe_dump(sources))
    copy = make_sandbox(tmp_path / "copy", loop.settings, "demo")
    registry = copy.registry()
    pointer = registry.pointer("champion")
    assert pointer is not None
    assert pointer.model == champion
    registry.download(champion, tmp_path / "files")  # checks every file against its digest
    assert [entry.kind for entry in registry.ledger.entries()]
    deploy = yaml.safe_load((copy.root / "configs/release/deploy.yaml").read_text())
    assert deploy["strategy"] == "canary"
    (files,) = yaml.safe_load((copy.root / "configs/curate/ingest.yaml").read_text())["sources"]
    assert files["documents"] == [str(Path.cwd() / "handbook"), "s3://bucket/a/"]
    assert not (copy.root / ".ratchet/journal").exists()
    assert yaml.safe_load(Path("configs/release/deploy.yaml").read_text())["strategy"] == "all_at_once"
    assert copy.settings.gateway_port != loop.settings.gateway_port


def keep_some_reference(settings: Settings) -> None:
    store = open_store(settings.store_url)
    champion = json.loads(store.get("pointers/champion.json") or b"")["model"]
    store.put_if_absent(f"models/{champion}/reference.parquet", b"rows")


def story(folder: Path, ending: str = "") -> Story:
    chapter = Chapter("A new topic", datetime(2026, 5, 1, 10, tzinfo=UTC), say=lambda _: None)
    chapter.add("It is <b>new</b>.", "CONFIRMED: quality fell.")
    chapter.links["drift report"] = "file:///tmp/report.html"
    qualities = [Quality("usual questions", 0.9, 220), Quality("with numpy", None, 0)]
    return Story(folder, [chapter], qualities, ending)


def test_the_page_tells_each_chapter_with_its_evidence(tmp_path: Path) -> None:
    page = write_story(story(tmp_path)).read_text()
    for part in ("The loop, once around", "A new topic", "10:00:00", "90.0 of 100", "not measured", "&lt;b&gt;"):
        assert part in page
    assert 'href="file:///tmp/report.html"' in page
    assert "<script" not in page


def test_a_story_that_ended_early_says_why(tmp_path: Path) -> None:
    page = write_story(story(tmp_path, "The gate says REJECT.")).read_text()
    assert "The loop stopped on its way" in page
    assert "The gate says REJECT." in page


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
