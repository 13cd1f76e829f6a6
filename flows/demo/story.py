"""`ratchet demo`: the loop turns once, unattended, in a copy of this checkout, and a page tells how it went.

A new topic reaches the champion, quality falls, the monitor finds it, Prefect's automation starts the retrain, the
candidate is rolled out by a canary, a bad one is refused, and a rollback is practised. Everything is real: the
services are those of `ratchet up`, the questions are asked over HTTP, nothing is told to come out well. Where the story
takes another turn the demo says so and fails. Caveat: its gate and its canary decide on less evidence than the shipped
ones, so that it ends in half an hour; configs/profiles/demo.yaml says what differs.
"""

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.demo.chapters import (
    bad_candidate,
    canary,
    drift_event,
    new_champion,
    new_topic,
    retrain,
    rollback_drill,
    usual_traffic,
)
from flows.demo.flow_runs import FlowRuns
from flows.demo.page import Story, write_story
from flows.demo.sandbox import Sandbox, make_sandbox
from flows.demo.telling import Telling
from flows.demo.traffic import Traffic, topic_questions, usual_questions
from flows.demo.waiting import Echo
from tasks.core.errors import RatchetError
from tasks.settings import Settings

FOLDER = "demo"  # below `home`
APPLICATIONS = [f"application {number}" for number in range(1, 9)]  # what one key may say of answers is limited


def run_demo(settings: Settings, profile: str, echo: Echo) -> Path:
    """Tell the story, and return where its page is.

    Raises RatchetError where something fails or turns out otherwise; the page then tells it as far as it came.
    """
    folder = settings.home / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    echo("A copy of this checkout, with its champion, is made ...")
    sandbox = make_sandbox(folder / "checkout", settings, profile)
    story = Story(folder.absolute())
    try:
        with _running(sandbox, story, echo) as telling:
            _tell(telling)
    except BaseException as error:
        story.ending = str(error) if isinstance(error, RatchetError) else f"It was ended by {type(error).__name__}."
        raise
    finally:
        page = write_story(story)
        echo(f"\nThe story as a page: {page.as_uri()}")
    return page


@contextmanager
def _running(sandbox: Sandbox, story: Story, echo: Echo) -> Iterator[Telling]:
    """Start everything in the copy, and end it with the block."""
    echo("Prefect, its deployments, the gateway and Evidently are started: `ratchet up` ...")
    api = {PREFECT_API_URL: f"{sandbox.prefect}/api"}
    with sandbox.up(), temporary_settings(api), get_client(sync_client=True) as client:
        echo(f"Prefect {sandbox.prefect}   gateway {sandbox.gateway}")
        traffic = Traffic(sandbox.gateway, sandbox.add_keys(APPLICATIONS), random.Random(0))
        telling = Telling(sandbox, story, echo, FlowRuns(client, sandbox, echo), traffic)
        telling.runs.pause_schedules()
        yield telling


def _tell(telling: Telling) -> None:
    """Tell every chapter, in order."""
    champion, package = telling.champion(), telling.package()
    usual = usual_questions(telling.sandbox.registry(), champion)
    telling.traffic.right = topic_questions(package)
    new = sorted(telling.traffic.right)
    usual_traffic.tell(telling, champion, usual)
    new_topic.tell(telling, champion, telling.mix(usual, new), package)
    run = drift_event.tell(telling)
    candidate = retrain.tell(telling, run.id, champion)
    mixed = telling.mix(usual, new)
    canary.tell(telling, candidate, champion, mixed)
    new_champion.tell(telling, candidate, mixed)
    bad_candidate.tell(telling, candidate)
    rollback_drill.tell(telling, candidate, champion)
