"""What every chapter of the demo works with: the running copy, its simulated users, and the page so far."""

import random
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.demo.flow_runs import FlowRuns
from flows.demo.page import Chapter, Quality, Story
from flows.demo.sandbox import Sandbox
from flows.demo.traffic import Traffic
from flows.demo.waiting import POLL_S, Echo, StageProgress, TurnedOutOtherwiseError
from flows.deployments import WATCH
from flows.monitor import read_window_verdict
from tasks.adapters.monitoring.window_log import WindowLog
from tasks.adapters.storage.json_files import read_object
from tasks.core.errors import ExternalError, RatchetError
from tasks.core.monitoring.window_verdict import WindowVerdict
from tasks.monitor.collect import SETTLE_S
from tasks.runner import find_stage, read_yaml

LOOK_S = 300.0
SPARE = 1.1  # questions for each row that a window needs: some answers fail or come late


@dataclass
class Telling:
    """One telling of the story: what it needs, and what it has learned so far."""

    sandbox: Sandbox
    story: Story
    echo: Echo
    runs: FlowRuns
    traffic: Traffic
    rng: random.Random = field(default_factory=lambda: random.Random(1))

    @contextmanager
    def chapter(self, title: str) -> Iterator[Chapter]:
        """Add a chapter to the story, told as it happens and kept as far as it comes."""
        self.echo(f"\n{title}")
        chapter = Chapter(title, datetime.now(UTC), echo=lambda line: self.echo(f"  {line}"))
        self.story.chapters.append(chapter)
        begun = time.monotonic()
        try:
            yield chapter
        finally:
            chapter.seconds = time.monotonic() - begun

    def champion(self) -> str:
        """Return the digest of the version that serves."""
        pointer = self.sandbox.registry().pointer("champion")
        assert pointer is not None
        return pointer.model

    def package(self) -> str:
        """Return the new topic: the first package on offer."""
        offers = read_yaml(self.sandbox.root / find_stage("drift").config_file).get("offers") or []
        packages = [name for offer in offers for name in offer.get("packages", ())] if isinstance(offers, list) else []
        if not packages:
            raise ExternalError(
                "The demo's profile offers no package (monitor.drift: offers), so there is no new topic."
            )
        return str(packages[0])

    def mix(self, usual: list[str], new: list[str]) -> list[str]:
        """Return the usual questions and as many of the new topic."""
        return [*usual, *self.rng.choices(new, k=len(usual))]

    def ask_a_window(self, questions: list[str]) -> None:
        """Ask as many of the questions as the monitor's next window needs."""
        rows = read_yaml(self.sandbox.root / find_stage("collect").config_file)["min_rows"]
        assert isinstance(rows, int)
        asked, done = self.rng.choices(questions, k=round(SPARE * rows)), 0

        def on_answer() -> None:
            nonlocal done
            done += 1
            if done % max(len(asked) // 4, 1) == 0:
                self.echo(f"  {done} of {len(asked)} questions are answered")

        self.traffic.ask(asked, on_answer, until=lambda: False)
        time.sleep(SETTLE_S)  # until the last answers are on disk

    def judge_window(self, model: str, name: str) -> WindowVerdict:
        """Let the monitor look, as its schedule would; keep the window's quality under the name; return its verdict."""
        log = WindowLog(self.sandbox.registry().store, model)
        before = len(log.numbers())
        self.runs.await_end(self.runs.start(f"monitor/{WATCH}"), LOOK_S)
        found = read_window_verdict(self.sandbox.settings.data)
        if len(log.numbers()) != before + 1:
            raise TurnedOutOtherwiseError(f"The monitor has not judged a window: {found.drift.headline}")
        self.story.qualities.append(Quality(name, found.quality.now, found.drift.rows[1]))
        return found

    def page_of(self, window: WindowVerdict) -> str:
        """Return the address of the window's drift report."""
        assert window.number is not None, "the story looks at the next window alone"
        return WindowLog(self.sandbox.registry().store, window.model).page_address(window.number)

    def retrain_here(self, reason: str) -> dict[str, Any]:
        """Run the loop from the command line, print which stage works meanwhile, and return what `--json` told."""
        progress = StageProgress(self.sandbox.settings.home, self.echo)
        told, failures = list[dict[str, Any]](), list[RatchetError]()

        def work() -> None:
            try:
                told.append(self.sandbox.ratchet_json("run", "--reason", reason))
            except RatchetError as error:
                failures.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        while thread.is_alive():
            progress.show()
            thread.join(POLL_S)
        if failures:
            raise failures[0]
        return told[0]

    def verdict(self) -> dict[str, Any]:
        """Return the gate's last verdict in the copy."""
        return read_object(self.sandbox.root / "data/promote/verdict.json")

    def keep(self, path: Path, name: str) -> str:
        """Copy a page that the next run would replace, and return its address."""
        shutil.copy2(path, self.evidence(name))
        return self.evidence(name).as_uri()

    def evidence(self, name: str) -> Path:
        """Return where a file of the story's evidence lies."""
        folder = self.story.folder / "evidence"
        folder.mkdir(exist_ok=True)
        return folder / name
