"""The documentation agrees with the code: reference pages, named paths, and what a built page asks the network for."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
ROOTS = ("tasks/", "flows/", "configs/", "tests/", "infra/", "docs/")


def test_the_reference_is_what_the_code_says() -> None:
    checked = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, f"run `python docs/generate.py`: {checked.stdout} {checked.stderr[-2000:]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    named = re.findall(r"`((?:%s)[\w./-]*)`" % "|".join(ROOTS), page.read_text())  # noqa: UP031 (braces of the pattern)
    missing = [path for path in named if not (REPOSITORY / path).exists()]
    assert not missing


def test_the_table_of_where_to_change_what_names_a_room_for_each_question() -> None:
    text = (DOCS / "explanation" / "architecture.md").read_text()
    for question in ("redaction rule", "gate's statistic", "chat format", "serving route", "drift rule", "source kind"):
        assert re.search(rf"^\| an? .*{question}.* \| `tasks/|^\| the {question} \| `tasks/", text, re.M), question
    assert re.search(r"^\| an engine \| `tasks/", text, re.M)


def test_the_readme_is_at_most_150_lines() -> None:
    assert len((REPOSITORY / "README.md").read_text().splitlines()) <= 150


@pytest.mark.slow
def test_the_site_builds_strictly_and_asks_the_network_for_nothing(tmp_path: Path) -> None:
    script = DOCS / "assets" / "mermaid.min.js"
    subprocess.run([REPOSITORY / "infra" / "scripts-for-docs.sh"], check=True)
    assert script.stat().st_size > 1_000_000
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert len(pages) >= 20
    loaded = (
        r'<(?:script|img|iframe)[^>]+src="(https?:[^"]+)"|'
        r'<link[^>]+rel="(?:stylesheet|preload|icon)"[^>]+href="(https?:[^"]+)"'
    )
    outside = {str(page.name): found for page in pages if (found := re.findall(loaded, page.read_text()))}
    assert not outside
