"""Simulate the users of the demo: usual questions, questions about a new topic, and many askers at once over HTTP.

Who asks about the new topic says what came of it, by `/v1/feedback`: thumbs up where the answer holds what the topic's
documentation says, else down.
"""

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tasks.adapters.release.registry import Registry
from tasks.core.errors import ExternalError
from tasks.core.release.golden_questions import holds
from tasks.core.sources.kinds import PackageReference

AT_ONCE = 8  # so that no answer waits long enough to count as slow
ASKERS = 240  # a canary compares askers, and needs twenty of them on either side, whom chance deals out
ANSWER_TOKENS = 40
TIMEOUT_S = 180.0
RETRY_S = 1.0
MOST_RETRIES = 60


def usual_questions(registry: Registry, champion: str) -> list[str]:
    """Return the questions that the champion was measured on."""
    from tasks.adapters.monitoring.traffic_table import read_traffic

    with tempfile.TemporaryDirectory(prefix="ratchet-demo-") as folder:
        path = Path(folder) / "reference.parquet"
        registry.reference(champion, path)
        return sorted(set(read_traffic(path)["question"].to_list()))


def topic_questions(package: str) -> dict[str, str]:
    """Return questions about an installed package, and for each the answer that its documentation gives."""
    from tasks.adapters.sources.python_docs.documented_objects import Limits, read_reference
    from tasks.core.questions.generate import ask

    source = PackageReference(kind="package_reference", packages=[package])
    limits = Limits(source.max_per_module, source.max_document_chars)
    corpus = read_reference(source.kind, source.packages, source.is_wanted, limits, {})
    asked = ask(corpus, unanswerable_share=0.0, held_out_share=source.held_out_share, limit=source.max_conversations)
    return {question.wording.text: question.draft.answer for question in asked}


@dataclass
class Traffic:
    """Questions put to a gateway, each by one of many askers, who use several applications."""

    gateway: str
    keys: Sequence[str]
    """Of the applications."""
    rng: random.Random
    right: Mapping[str, str] = field(default_factory=dict)
    """The right answer to questions whose askers say what they think of theirs."""
    counts: Counter[str] = field(default_factory=Counter)
    """Answers by model."""

    def ask(self, questions: Sequence[str], on_answer: Callable[[], None], *, until: Callable[[], bool]) -> int:
        """Ask one after the other, many at once, as long as `until` is false; return how many were answered.

        Raises ExternalError where the gateway refuses or does not answer.
        """
        return asyncio.run(self._ask(iter(questions), on_answer, until))

    async def _ask(self, questions: Iterator[str], on_answer: Callable[[], None], until: Callable[[], bool]) -> int:
        answered = 0
        async with httpx.AsyncClient(base_url=self.gateway, timeout=TIMEOUT_S, trust_env=False) as http:

            async def one() -> None:
                nonlocal answered
                for question in questions:
                    if until():
                        return
                    await self._answer(http, question)
                    answered += 1
                    on_answer()

            await asyncio.gather(*(one() for _ in range(AT_ONCE)))
        return answered

    async def _answer(self, http: httpx.AsyncClient, question: str) -> None:
        asker = self.rng.randrange(ASKERS)
        headers = {"Authorization": f"Bearer {self.keys[asker % len(self.keys)]}"}
        body = {
            "model": "ratchet",
            "messages": [{"role": "user", "content": question}],
            "max_tokens": ANSWER_TOKENS,
            "user": f"asker-{asker}",
        }
        for _ in range(MOST_RETRIES):
            try:
                reply = await http.post("/v1/chat/completions", json=body, headers=headers)
            except httpx.HTTPError as error:
                raise ExternalError(
                    f"The gateway at {self.gateway} does not answer ({type(error).__name__})."
                ) from None
            if reply.status_code != httpx.codes.TOO_MANY_REQUESTS:
                break
            await asyncio.sleep(RETRY_S)
        if reply.status_code != httpx.codes.OK:
            raise ExternalError(f"The gateway at {self.gateway} answered with status {reply.status_code}.")
        said = reply.json()
        self.counts[said["model"]] += 1
        if question in self.right:
            is_right = holds(said["choices"][0]["message"]["content"], self.right[question])
            opinion = {"answer_id": said["id"], "thumb": "up" if is_right else "down"}
            await self._judge(http, opinion, headers)

    async def _judge(self, http: httpx.AsyncClient, opinion: Mapping[str, str], headers: Mapping[str, str]) -> None:
        reply = await http.post("/v1/feedback", json=opinion, headers=headers)
        if reply.status_code != httpx.codes.CREATED:
            raise ExternalError(f"The gateway at {self.gateway} took feedback with status {reply.status_code}.")
