"""Every command that README and docs show exists, with its options; cheap ones are run."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from tests.conftest import REPOSITORY

PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
OTHERS = {"make", "curl", "export", "source", "prefect", "python", "python3", "pip", "git", "dvc", "pre-commit"}
TARGETS = set(re.findall(r"^([a-z]+):.*##", (REPOSITORY / "Makefile").read_text(), re.M))
RUN = ("ratchet schema conversation", "ratchet status --json", "ratchet doctor", "ratchet keys list")


def shown() -> Iterator[tuple[str, str]]:
    """Yield each command of each bash block with where it stands; a line that goes on is one command."""
    for page in PAGES:
        for block in re.findall(r"^```bash\n(.*?)^```", page.read_text(), re.M | re.S):
            for line in re.sub(r"\\\n\s*", " ", block).splitlines():
                if line.strip() and not line.lstrip().startswith("#"):
                    yield str(page.relative_to(REPOSITORY)), line.strip()


COMMANDS = list(dict.fromkeys(shown()))


def words(line: str) -> list[str]:
    """Return the command's words, without comments and variables before it."""
    found = shlex.split(line.split(" > ")[0], comments=True)
    while found and re.fullmatch(r"[A-Z_]+=.*", found[0]):
        found = found[1:]
    return found


def test_there_are_commands_to_look_at() -> None:
    assert len(COMMANDS) > 40


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=[f"{page}: {line[:60]}" for page, line in COMMANDS])
def test_a_shown_command_exists_with_its_options(page: str, line: str) -> None:
    program, *arguments = words(line)
    name = Path(program).name
    if name == "ratchet":
        assert is_known(arguments), f"{page} shows a command or option that is not there"
    elif name == "make":
        assert {word for word in arguments if not word.startswith("-") and "=" not in word} <= TARGETS
    else:
        assert name in OTHERS or (REPOSITORY / program).exists(), f"{page} shows an unknown program: {name}"


def is_known(arguments: list[str]) -> bool:
    """Return whether the command line knows the command and its options; with --help it runs nothing."""
    return CliRunner().invoke(app, [*arguments, "--help"]).exit_code == 0


@pytest.mark.parametrize("line", ["ratchet run --resaon x", "ratchet serv", "ratchet keys ad x"])
def test_a_command_that_is_not_there_would_be_noticed(line: str) -> None:
    assert not is_known(words(line)[1:])


@pytest.mark.parametrize("line", RUN)
def test_a_cheap_command_runs(line: str, tmp_path: Path) -> None:
    assert any(line in command for _, command in COMMANDS) or line in RUN
    done = subprocess.run(
        [sys.executable, "-m", "flows", *words(line)[1:]],
        cwd=tmp_path, env={"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode in (0, 4) if "doctor" in line else done.returncode == 0, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
