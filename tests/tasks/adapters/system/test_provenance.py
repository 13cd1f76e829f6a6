"""A run records its commit, libraries, configuration, trigger and checkout."""

import getpass
import subprocess
from pathlib import Path

import pytest

from tasks.adapters.system import provenance


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_a_commit_and_whether_the_checkout_differs_from_it(tmp_path: Path) -> None:
    assert provenance.code(tmp_path).commit is None
    git(tmp_path, "init")
    (tmp_path / "a").write_text("1")
    assert provenance.code(tmp_path).is_dirty
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-m", "one")
    clean = provenance.code(tmp_path)
    assert clean.commit is not None
    assert len(clean.commit) == 40
    assert not clean.is_dirty
    (tmp_path / "a").write_text("2")
    assert provenance.code(tmp_path) == clean.model_copy(update={"is_dirty": True})


def test_a_machine_without_git_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.code(tmp_path).commit is None


def test_versions_are_those_installed() -> None:
    versions = provenance.library_versions()
    assert versions["python"].startswith("3.")
    assert versions["torch"].startswith("2.")
    assert "no-such-library" not in versions


def test_the_trigger_is_named_or_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    assert provenance.trigger({"RATCHET_TRIGGER": "nightly"}) == "nightly"
    monkeypatch.setattr(getpass, "getuser", lambda: "jane")
    assert provenance.trigger({}) == "manual by jane"

    def nobody() -> str:
        raise KeyError("uid")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert provenance.trigger({}).startswith("manual by user ")


def test_a_checkout_keeps_its_name(tmp_path: Path) -> None:
    name = provenance.checkout_name(tmp_path / "one")
    assert provenance.checkout_name(tmp_path / "one") == name
    assert provenance.checkout_name(tmp_path / "two") != name


def test_the_configuration_of_every_stage_is_kept_profiles_aside(tmp_path: Path) -> None:
    for group in ("curate", "profiles"):
        (tmp_path / group).mkdir()
        (tmp_path / group / "clean.yaml").write_text("min_words: 3\n")
    (tmp_path / "curate" / "empty.yaml").write_text("# nothing\n")
    assert provenance.configuration(tmp_path) == {"curate.clean": {"min_words": 3}, "curate.empty": {}}
