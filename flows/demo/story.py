"""`ratchet demo`: the loop turns once, unattended, in a copy of this checkout, and a page tells how it went.

A new topic reaches the champion, quality falls, the monitor finds it, Prefect's automation starts the retrain, the
candidate is rolled out by a canary, a bad one is refused, and a rollback is practised. Everything is real: the
services are those of `ratchet up`, the questions are asked over HTTP, nothing is told to come out well. Where the story
takes another turn the demo says so and fails. Caveat: its gate and its canary decide on less evidence than the shipped
ones, so that it ends in half an hour; configs/profiles/demo.yaml says what differs.
"""

import json
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import DeploymentSort, FlowRunSort
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.demo.page import Chapter, Quality, Story, write_story
from flows.demo.sandbox import Sandbox, make_sandbox
from flows.demo.traffic import Traffic, topic_questions, usual_questions
from flows.deployments import NIGHTLY, ON_DEMAND, WATCH
from flows.monitor import read_window_verdict
from tasks.adapters.monitoring.window_log import WindowLog
from tasks.adapters.release.rollouts import Deployments
from tasks.adapters.storage.json_files import read_object
from tasks.core.digests import short
from tasks.core.errors import ExternalError, RatchetError
from tasks.core.monitoring.window_verdict import WindowVerdict
from tasks.monitor.collect import SETTLE_S
from tasks.runner import find_stage, read_yaml
from tasks.settings import Settings

FOLDER = "demo"  # below `home`
POLL_S = 2.0
NEWS_S = 60.0  # between two lines about a stage that goes on
LOOK_S, EVENT_S, RETRAIN_S = 300.0, 120.0, 3600.0
APPLICATIONS = [f"application {number}" for number in range(1, 9)]  # what one key may say of answers is limited
SPARE = 1.1  # questions for each row that a window needs: some answers fail or come late
MOST_LOOKS = 3
MOST_CANARY_ANSWERS = 3000
SPOILT_LEARNING_RATE, SPOILT_PART = 0.5, 4  # a fourth of the examples: enough to spoil a model

Say = Callable[[str], None]


class TurnedOutOtherwiseError(ExternalError):
    """The story took another turn than it should."""


def run_demo(settings: Settings, profile: str, say: Say) -> Path:
    """Tell the story, and return where its page is.

    Raises RatchetError where something fails or turns out otherwise; the page then tells it as far as it came.
    """
    folder = settings.home / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    say("A copy of this checkout, with its champion, is made ...")
    sandbox = make_sandbox(folder / "checkout", settings, profile)
    story = Story(folder.absolute())
    try:
        with _running(sandbox, story, say) as demo:
            demo.tell()
    except BaseException as error:
        story.ending = str(error) if isinstance(error, RatchetError) else f"It was ended by {type(error).__name__}."
        raise
    finally:
        page = write_story(story)
        say(f"\nThe story as a page: {page.as_uri()}")
    return page


@contextmanager
def _running(sandbox: Sandbox, story: Story, say: Say) -> Iterator["_Demo"]:
    """Start everything in the copy, and end it with the block."""
    say("Prefect, its deployments, the gateway and Evidently are started: `ratchet up` ...")
    api = {PREFECT_API_URL: f"{sandbox.prefect}/api"}
    with sandbox.up(), temporary_settings(api), get_client(sync_client=True) as client:
        say(f"Prefect {sandbox.prefect}   gateway {sandbox.gateway}")
        traffic = Traffic(sandbox.gateway, sandbox.add_keys(APPLICATIONS), random.Random(0))
        demo = _Demo(sandbox, story, say, client, traffic)
        demo.pause_schedules()
        yield demo


@dataclass
class _Demo:
    """One telling: what it needs, and what it has learned so far."""

    sandbox: Sandbox
    story: Story
    say: Say
    client: SyncPrefectClient
    traffic: Traffic
    rng: random.Random = field(default_factory=lambda: random.Random(1))

    def tell(self) -> None:
        champion = self._champion()
        usual, package = usual_questions(self.sandbox.registry(), champion), self._package()
        right = self.traffic.right = topic_questions(package)
        new = sorted(right)
        self.usual_days(champion, usual)
        watch = self.new_topic(champion, usual, new, package)
        run = self.event(watch)
        candidate = self.retrain(run, champion)
        mixed = [*usual, *self.rng.choices(new, k=len(usual))]
        self.canary(candidate, champion, mixed)
        self.after(candidate, mixed)
        self.bad_candidate(candidate)
        self.drill(candidate, champion)

    def usual_days(self, champion: str, usual: list[str]) -> None:
        with self._chapter("The champion and its usual traffic") as chapter:
            chapter.add(f"{short(champion)} serves. People ask what it was measured on.")
            self._ask_a_window(usual)
            watch = self._look(champion)
            chapter.add(f"The monitor says: {watch.drift.headline}")
            chapter.links["drift report"] = self._watch_page(watch)
            self.story.qualities.append(Quality("usual questions", watch.quality.now, watch.drift.rows[1]))
            if watch.is_confirmed:
                raise TurnedOutOtherwiseError(f"The monitor is alarmed by usual questions: {watch.drift.headline}")

    def new_topic(self, champion: str, usual: list[str], new: list[str], package: str) -> WindowVerdict:
        with self._chapter("A new topic") as chapter:
            chapter.add(
                f"Every other question is now about {package}, of which the champion has no document, and who asks it "
                "says by thumbs up or down whether the answer was right."
            )
            mixed = [*usual, *self.rng.choices(new, k=len(usual))]
            for _ in range(MOST_LOOKS):
                self._ask_a_window(mixed)
                watch = self._look(champion)
                chapter.add(*watch.lines())
                chapter.links[f"drift report of window {watch.number}"] = self._watch_page(watch)
                self.story.qualities.append(Quality(f"with {package}", watch.quality.now, watch.drift.rows[1]))
                if watch.is_confirmed and package in watch.requested_documents().packages:
                    return watch
            raise TurnedOutOtherwiseError(f"The monitor has not confirmed that documents of {package} are missing.")

    def event(self, watch: WindowVerdict) -> FlowRun:
        with self._chapter("Drift starts a retrain") as chapter:
            deployment = self.client.read_deployment_by_name(f"retrain/{ON_DEMAND}")
            run = self._first_run(deployment.id)
            by = run.created_by
            chapter.add(
                f"Prefect's automation {by.display_value if by else 'unknown'!r} ({by.type if by else 'unknown'}) "
                f"made the run {run.name}, with these parameters:"
            )
            chapter.add(*json.dumps(run.parameters["request"], indent=2, ensure_ascii=False).splitlines())
            record = self._evidence("retrain_run.json")
            record.write_text(run.model_dump_json(indent=2), encoding="utf-8")
            chapter.links["the run's record"] = record.as_uri()
            if by is None or by.type != "AUTOMATION":
                raise TurnedOutOtherwiseError(f"The retrain {run.name} was not started by the automation.")
            return run

    def retrain(self, run: FlowRun, champion: str) -> str:
        with self._chapter("The retrain") as chapter:
            self._wait_for(run.id, RETRAIN_S)
            verdict = self._verdict()
            candidate = str(verdict["candidate"])
            chapter.add(f"{short(candidate)} against {short(champion)}: {verdict['outcome']}.")
            chapter.add(str(verdict["headline"]), *map(str, verdict["reasons"]))
            chapter.links["release note"] = self._keep("data/promote/release_note.html", "release_note.html")
            if verdict["outcome"] != "PROMOTE":
                raise TurnedOutOtherwiseError(f"The gate says {verdict['outcome']} on the new candidate.")
            return candidate

    def canary(self, candidate: str, champion: str, questions: list[str]) -> None:
        with self._chapter("The canary") as chapter:
            deployments, steps = Deployments(self.sandbox.registry()), list[str]()

            def is_over() -> bool:
                rollout = deployments.rollout()
                assert rollout is not None
                if rollout.sentence() not in steps:
                    steps.append(rollout.sentence())
                    chapter.add(steps[-1])
                return not rollout.is_running

            self._until(lambda: self._is_taken_up(deployments, candidate), "The gateway took up the canary", LOOK_S)
            self.traffic.counts.clear()
            counted = self.traffic.ask(
                self.rng.choices(questions, k=MOST_CANARY_ANSWERS), lambda: None, until=_seldom(is_over)
            )
            self._until(is_over, "The canary came to an end", LOOK_S)
            shares = ", ".join(f"{name}: {count}" for name, count in sorted(self.traffic.counts.items()))
            chapter.add(f"{counted} answers ({shares}).")
            if self._champion() != candidate:
                raise TurnedOutOtherwiseError(f"The canary did not end with {short(candidate)}: {steps[-1]}")
            chapter.add(f"{short(candidate)} is the champion, and {short(champion)} stays loaded for a while.")

    def after(self, candidate: str, questions: list[str]) -> None:
        with self._chapter("The same questions, the new champion") as chapter:
            self._ask_a_window(questions)
            watch = self._look(candidate)
            chapter.add(*watch.lines())
            chapter.links["drift report"] = self._watch_page(watch)
            self.story.qualities.append(Quality("new champion", watch.quality.now, watch.drift.rows[1]))

    def bad_candidate(self, champion: str) -> None:
        with self._chapter("A bad candidate") as chapter:
            values = read_yaml(self.sandbox.root / find_stage("train").config_file)
            rate, examples = values["learning_rate"], int(str(values["max_examples"])) // SPOILT_PART
            chapter.add(f"Somebody sets the learning rate to {SPOILT_LEARNING_RATE} instead of {rate}, and retrains.")
            spoilt = {"learning_rate": SPOILT_LEARNING_RATE, "max_examples": examples}
            self.sandbox.configure("train", spoilt)
            self._run_here("somebody changed the learning rate")
            self.sandbox.configure("train", {"learning_rate": rate, "max_examples": values["max_examples"]})
            verdict = self._verdict()
            chapter.add(f"{short(str(verdict['candidate']))} against {short(champion)}: {verdict['outcome']}.")
            chapter.add(*map(str, verdict["reasons"]))
            chapter.links["release note"] = self._keep("data/promote/release_note.html", "release_note_bad.html")
            if verdict["outcome"] == "PROMOTE" or self._champion() != champion:
                raise TurnedOutOtherwiseError("The gate promoted a candidate that was spoilt.")

    def drill(self, champion: str, before: str) -> None:
        with self._chapter("A rollback drill") as chapter:
            for to, reason in ((before, "a drill"), (champion, "the drill is over")):
                begun = time.monotonic()
                said = self.sandbox.ratchet("rollback", "--to", to, "--reason", reason)
                chapter.add(f"{said.strip()} (the command took {time.monotonic() - begun:.1f} s in all)")
                if self._champion() != to:
                    raise TurnedOutOtherwiseError(f"After the rollback {short(self._champion())} is the champion.")
            ledger = self.sandbox.registry().ledger.entries()
            chapter.add(f"The ledger has {len(list(ledger))} entries; these are its last:")
            chapter.add(*self.sandbox.ratchet("status").split("ledger, newest first", 1)[-1].splitlines()[1:8])

    def pause_schedules(self) -> None:
        """Let nothing but the story start a run."""
        self._until(self._has_deployments, "The deployments were served", LOOK_S)
        for name in (f"retrain/{NIGHTLY}", f"monitor/{WATCH}"):
            self.client.pause_deployment(self.client.read_deployment_by_name(name).id)

    def _has_deployments(self) -> bool:
        found = self.client.read_deployments(limit=10, sort=DeploymentSort.NAME_ASC)
        return {deployment.name for deployment in found} >= {NIGHTLY, ON_DEMAND, WATCH}

    @contextmanager
    def _chapter(self, title: str) -> Iterator[Chapter]:
        """Add a chapter to the story, told as it happens and kept as far as it comes."""
        self.say(f"\n{title}")
        chapter = Chapter(title, datetime.now(UTC), say=lambda line: self.say(f"  {line}"))
        self.story.chapters.append(chapter)
        begun = time.monotonic()
        try:
            yield chapter
        finally:
            chapter.seconds = time.monotonic() - begun

    def _champion(self) -> str:
        pointer = self.sandbox.registry().pointer("champion")
        assert pointer is not None
        return pointer.model

    def _package(self) -> str:
        """Return the new topic: the first package on offer."""
        offers = read_yaml(self.sandbox.root / find_stage("drift").config_file).get("offers") or []
        packages = [name for offer in offers for name in offer.get("packages", ())] if isinstance(offers, list) else []
        if not packages:
            raise ExternalError(
                "The demo's profile offers no package (monitor.drift: offers), so there is no new topic."
            )
        return str(packages[0])

    def _ask_a_window(self, questions: list[str]) -> None:
        rows = read_yaml(self.sandbox.root / find_stage("collect").config_file)["min_rows"]
        assert isinstance(rows, int)
        asked, done = self.rng.choices(questions, k=round(SPARE * rows)), 0

        def on_answer() -> None:
            nonlocal done
            done += 1
            if done % max(len(asked) // 4, 1) == 0:
                self.say(f"  {done} of {len(asked)} questions are answered")

        self.traffic.ask(asked, on_answer, until=lambda: False)
        time.sleep(SETTLE_S)  # until the last answers are on disk

    def _look(self, model: str) -> WindowVerdict:
        """Let the monitor look, as its schedule would, and return what it says."""
        log = WindowLog(self.sandbox.registry().store, model)
        before = len(log.numbers())
        deployment = self.client.read_deployment_by_name(f"monitor/{WATCH}")
        self._wait_for(self.client.create_flow_run_from_deployment(deployment.id).id, LOOK_S)
        found = read_window_verdict(self.sandbox.settings.data)
        if len(log.numbers()) != before + 1:
            raise TurnedOutOtherwiseError(f"The monitor has not judged a window: {found.drift.headline}")
        return found

    def _watch_page(self, watch: WindowVerdict) -> str:
        assert watch.number is not None, "the story looks at the next window alone"
        return WindowLog(self.sandbox.registry().store, watch.model).page_address(watch.number)

    def _first_run(self, deployment: UUID) -> FlowRun:
        found: list[FlowRun] = []
        chosen = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))

        def is_there() -> bool:
            found[:] = self.client.read_flow_runs(deployment_filter=chosen, limit=10, sort=FlowRunSort.ID_DESC)
            return bool(found)

        self._until(is_there, "Drift started a retrain", EVENT_S)
        return found[0]

    def _wait_for(self, run: UUID, longest_s: float) -> None:
        """Wait until a flow run has ended well, and say which stage works meanwhile."""
        news = _News(self.sandbox, self.say)

        def is_over() -> bool:
            news.tell()
            state = self.client.read_flow_run(run).state
            if state is None or not state.is_final():
                return False
            if not state.is_completed():
                raise ExternalError(f"The flow run {run} ended as {state.name}: {state.message}")
            return True

        self._until(is_over, f"The flow run {run} ended", longest_s)

    def _run_here(self, reason: str) -> None:
        """Run the loop from the command line, and say which stage works meanwhile."""
        news, failures = _News(self.sandbox, self.say), list[RatchetError]()

        def work() -> None:
            try:
                self.sandbox.ratchet("run", "--reason", reason)
            except RatchetError as error:
                failures.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        while thread.is_alive():
            news.tell()
            thread.join(POLL_S)
        if failures:
            raise failures[0]

    def _until(self, condition: Callable[[], bool], what: str, longest_s: float) -> None:
        """Wait until the condition holds; raise TurnedOutOtherwiseError where `what` does not come about in time."""
        deadline = time.monotonic() + longest_s
        while not condition():
            if time.monotonic() > deadline:
                logs = self.sandbox.root / ".ratchet" / "up"
                raise TurnedOutOtherwiseError(f"{what}: not within {longest_s:.0f} s; read the logs in {logs}.")
            time.sleep(POLL_S)

    def _is_taken_up(self, deployments: Deployments, candidate: str) -> bool:
        rollout = deployments.rollout()
        if rollout is not None and not rollout.is_running:
            raise TurnedOutOtherwiseError(f"The canary ended before it began: {rollout.sentence()}")
        return any(beat.candidate == candidate for beat in deployments.heartbeats.alive(datetime.now(UTC)))

    def _verdict(self) -> dict[str, Any]:
        return read_object(self.sandbox.root / "data/promote/verdict.json")

    def _keep(self, path: str, name: str) -> str:
        """Copy a page that the next run would replace, and return its address."""
        shutil.copy2(self.sandbox.root / path, self._evidence(name))
        return self._evidence(name).as_uri()

    def _evidence(self, name: str) -> Path:
        folder = self.story.folder / "evidence"
        folder.mkdir(exist_ok=True)
        return folder / name


@dataclass
class _News:
    """Says which stage works, when it changes and now and then."""

    sandbox: Sandbox
    say: Say
    stage: str = ""
    said_at: float = 0.0
    begun: float = field(default_factory=time.time)

    def tell(self) -> None:
        files = [path for path in self.sandbox.settings.home.glob("stages/*/progress.json") if self._is_new(path)]
        if not files:
            return
        newest = max(files, key=lambda path: path.stat().st_mtime)
        if newest.parent.name == self.stage and time.monotonic() - self.said_at < NEWS_S:
            return
        try:
            note = json.loads(newest.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return
        self.stage, self.said_at = newest.parent.name, time.monotonic()
        self.say(f"  {self.stage}: {note['done']} of {note['total']} {note['message']}")

    def _is_new(self, path: Path) -> bool:
        try:
            return path.stat().st_mtime > self.begun
        except OSError:
            return False


def _seldom(condition: Callable[[], bool], every_s: float = 1.0) -> Callable[[], bool]:
    """Return the condition, looked at no more often than that."""
    last = [float("-inf"), False]

    def look() -> bool:
        if not last[1] and time.monotonic() - last[0] >= every_s:
            last[:] = [time.monotonic(), condition()]
        return bool(last[1])

    return look
