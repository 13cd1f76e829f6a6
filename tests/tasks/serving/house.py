"""A gateway with its pages and records, for tests that look at them."""

import json
import random
from dataclasses import dataclass
from datetime import datetime, timedelta

import httpx

from tasks.adapters.records.feedback_store import read_feedback
from tasks.adapters.records.journal import Journal, line_of, rotate
from tasks.adapters.records.record_place import open_records, start_of_hour
from tasks.adapters.storage.object_store import open_store
from tasks.core.records.schema import Feedback
from tasks.serving.records.recording import Recorder
from tasks.settings import Settings
from tests.tasks.answers import answer
from tests.tasks.serving.live_gateway import SERVED, Live


@dataclass
class House:
    """A gateway as `ratchet serve` makes it, its engine aside: recorder, feedback and pages over real files."""

    live: Live
    settings: Settings
    recorder: Recorder

    def ask(self, question: str, text: str = "The default of indent is None.", key: str | None = None) -> str:
        """Let the engine answer a question and return the answer's id."""
        self.live.engine.text = text
        reply = self.live.post({"model": "ratchet", "messages": [{"role": "user", "content": question}]}, key)
        assert reply.status_code == 200
        return str(reply.json()["id"])

    def say(self, body: object, key: str | None = None) -> httpx.Response:
        """Send feedback."""
        headers = {"Authorization": f"Bearer {key or self.live.user}"}
        content = body if isinstance(body, (str, bytes)) else json.dumps(body)
        return httpx.post(f"{self.live.url}/v1/feedback", content=content, headers=headers, timeout=20)

    def kept(self) -> list[Feedback]:
        """Return all feedback there is."""
        return list(read_feedback(open_store(self.settings.feedback_url)))


def write_hour(settings: Settings, hour: datetime, count: int, seed: int) -> None:
    """Write an hour of answers as a gateway that is gone has left it, rotated."""
    rng, place = random.Random(seed), open_records(settings)
    journal = Journal(place.journals, hour)
    for n in range(count):
        at = (start_of_hour(hour) + timedelta(seconds=n)).isoformat()
        made = answer(
            f"past-{seed}-{n}",
            f"What does item {n} of {seed} do?",
            at=at,
            model=SERVED,
            abstained=rng.random() < 0.1,
            ungrounded=["foo_bar"] if rng.random() < 0.08 else [],
            seconds=0.4 + rng.expovariate(1),
            ttft_s=0.1 + rng.random() / 5,
            cpu_s=0.3 + rng.random() / 3,
            completion_tokens=20,
            status="error" if n == 7 and seed == 5 else "ok",
        )
        journal.append(line_of(made))
    journal.close()
    rotate(journal.path, place)
