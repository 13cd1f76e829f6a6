"""The copy that the demo plays in: the champion and the profile's values, nothing of the records."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from flows.demo.sandbox import make_sandbox
from tasks.adapters.storage.object_store import open_store
from tasks.core.errors import ConfigError, DataError
from tasks.settings import Settings
from tests.flows.conftest import REPOSITORY
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
