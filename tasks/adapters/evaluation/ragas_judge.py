"""Compute Ragas metrics: the offline ones always, those of an LLM judge where one is configured (ragas, openai).

A judge is any OpenAI-compatible endpoint with JSON mode. A judge's failure costs the one item its value and gives it a
status: calls are limited, timed and caught here, since several of the library's metrics raise for a whole batch or
swallow errors. Semantic similarity is computed in batches on the product's own embedder, as Ragas defines it. Caveat:
the offline metrics compare the wording with the reference; none of them detects a made-up claim.
"""

import asyncio
import logging
import math
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.core.errors import ConfigError
from tasks.core.evaluation.judge_validation import LabelledPair

if TYPE_CHECKING:
    from ragas.embeddings.base import BaseRagasEmbedding

logger = logging.getLogger(__name__)

OK, NOT_EVALUATED, NOT_APPLICABLE = "ok", "not evaluated", "not applicable"
OFFLINE = ("rouge_l", "string_similarity", "exact_match", "string_presence", "semantic_similarity")
JUDGED = ("faithfulness", "answer_relevancy", "context_precision", "context_recall", "factual_correctness")
FAITHFULNESS = JUDGED[:1]
MIN_FAITHFULNESS = 0.8
"""Share of an answer's statements that the context must support; short answers have one to three."""
MAX_REASON_CHARS = 200
LIBRARY_LOG_LEVELS = {"absl": logging.WARNING, "httpx2": logging.WARNING, "instructor": logging.CRITICAL}
"""Libraries that log a line for every answer or call; failures are in the item's status already."""

Embed = Callable[[Sequence[str]], np.ndarray]
OnDone = Callable[[int], None]


@dataclass(frozen=True)
class Sample:
    """A model's answer to an item; `status` is that of the answer, and only `ok` ones are measured."""

    item_id: str
    model: str
    question: str
    answer: str
    reference: str
    contexts: tuple[str, ...]
    status: str = OK
    abstained: bool = False


@dataclass(frozen=True)
class Measurement:
    """The value of one metric for one answer, or why there is none."""

    item_id: str
    model: str
    metric: str
    value: float | None
    status: str


@dataclass(frozen=True)
class JudgeSpec:
    """The judge's endpoint and the limits of its calls."""

    base_url: str
    model: str
    api_key: str = "none"
    concurrency: int = 8
    timeout_s: float = 60.0
    """Of one call; a metric makes several and may take five times as long."""
    max_tokens: int = 1024


def offline_scores(samples: Sequence[Sample], embed: Embed) -> list[Measurement]:
    """Return every offline metric of every sample."""
    _silence_libraries()
    from ragas.metrics.collections import ExactMatch, NonLLMStringSimilarity, RougeScore, StringPresence

    metrics: dict[str, Any] = {
        "rouge_l": RougeScore(rouge_type="rougeL", mode="fmeasure"),
        "string_similarity": NonLLMStringSimilarity(),
        "exact_match": ExactMatch(),
        "string_presence": StringPresence(),
    }

    async def measure() -> list[Measurement]:
        return [
            await _one(sample, name, partial(metric.ascore, reference=sample.reference, response=sample.answer), None)
            for sample in samples
            for name, metric in metrics.items()
        ]

    return [*asyncio.run(measure()), *_similarities(samples, embed)]


def unjudged(samples: Iterable[Sample], status: str = NOT_EVALUATED) -> list[Measurement]:
    """Return the judge's metrics of the samples with a status and no value."""
    return [Measurement(s.item_id, s.model, metric, None, status) for s in samples for metric in JUDGED]


class Judge:
    """An LLM judge behind an endpoint. Every method makes its calls in an event loop of its own."""

    def __init__(self, spec: JudgeSpec, embed: Embed) -> None:
        _silence_libraries()
        self._spec, self._embed = spec, embed

    def scores(self, samples: Sequence[Sample], on_done: OnDone | None = None) -> list[Measurement]:
        """Return the judge's metrics of every sample, each with its status."""
        return asyncio.run(self._scores(samples, on_done))

    def verdicts(self, pairs: Sequence[LabelledPair]) -> list[bool | None]:
        """Return whether the judge finds each answer faithful to its context; None where it failed.

        A judge that fails on every pair of the first round is not asked again.
        """
        samples = [Sample(p.id, "pair", p.question, p.answer, p.answer, (p.context,)) for p in pairs]
        first, rest = samples[: self._spec.concurrency], samples[self._spec.concurrency :]
        found = asyncio.run(self._scores(first, None, only=FAITHFULNESS))
        if any(m.value is not None for m in found):
            found += asyncio.run(self._scores(rest, None, only=FAITHFULNESS))
        for failure in sorted({m.status for m in found if m.value is None})[:3]:
            logger.warning("the judge failed on a labelled pair: %s", failure)
        verdicts = [None if m.value is None else m.value >= MIN_FAITHFULNESS for m in found]
        return verdicts + [None] * (len(pairs) - len(verdicts))

    async def _scores(
        self, samples: Sequence[Sample], on_done: OnDone | None, only: Sequence[str] = JUDGED
    ) -> list[Measurement]:
        from openai import AsyncOpenAI

        spec, turn = self._spec, asyncio.Semaphore(self._spec.concurrency)
        async with AsyncOpenAI(
            base_url=spec.base_url, api_key=spec.api_key, timeout=spec.timeout_s, max_retries=1
        ) as client:
            metrics = self._metrics(client)

            async def one(sample: Sample, name: str) -> Measurement:
                if sample.abstained and name in ("faithfulness", "answer_relevancy", "factual_correctness"):
                    return Measurement(sample.item_id, sample.model, name, None, NOT_APPLICABLE)
                async with turn:
                    found = await _one(sample, name, lambda: metrics[name](sample), 5 * spec.timeout_s)
                if on_done:
                    on_done(1)
                return found

            return list(await asyncio.gather(*(one(sample, name) for sample in samples for name in only)))

    def _metrics(self, client: Any) -> dict[str, Callable[[Sample], Awaitable[Any]]]:
        from ragas.llms import llm_factory
        from ragas.metrics import collections as ragas

        spec = self._spec
        llm = llm_factory(spec.model, client=client, temperature=0.0, max_tokens=spec.max_tokens, max_retries=1)
        faithfulness, factual = ragas.Faithfulness(llm=llm), ragas.FactualCorrectness(llm=llm)
        relevancy = ragas.AnswerRelevancy(llm=llm, embeddings=ragas_embedding(self._embed))
        precision, recall = ragas.ContextPrecision(llm=llm), ragas.ContextRecall(llm=llm)
        return {
            "faithfulness": lambda s: faithfulness.ascore(
                user_input=s.question, response=s.answer, retrieved_contexts=list(s.contexts)
            ),
            "answer_relevancy": lambda s: relevancy.ascore(user_input=s.question, response=s.answer),
            "context_precision": lambda s: precision.ascore(
                user_input=s.question, reference=s.reference, retrieved_contexts=list(s.contexts)
            ),
            "context_recall": lambda s: recall.ascore(
                user_input=s.question, reference=s.reference, retrieved_contexts=list(s.contexts)
            ),
            "factual_correctness": lambda s: factual.ascore(response=s.answer, reference=s.reference),
        }


def ragas_embedding(embed: Embed) -> "BaseRagasEmbedding":
    """Return the product's embedder behind Ragas' interface."""
    from ragas.embeddings.base import BaseRagasEmbedding

    class Adapter(BaseRagasEmbedding):
        def embed_text(self, text: str, **kwargs: Any) -> list[float]:
            return [float(value) for value in embed([text])[0]]

        async def aembed_text(self, text: str, **kwargs: Any) -> list[float]:
            return self.embed_text(text)

    return Adapter()


def check_endpoint(spec: JudgeSpec) -> None:
    """Raise ConfigError where the judge's base URL is not an http(s) address."""
    if not spec.base_url.startswith(("http://", "https://")):
        raise ConfigError(f"RATCHET_JUDGE_BASE_URL={spec.base_url!r} is no http(s) address: correct or unset it.")


async def _one(
    sample: Sample, metric: str, score: Callable[[], Awaitable[Any]], timeout_s: float | None
) -> Measurement:
    if sample.status != OK:
        return Measurement(sample.item_id, sample.model, metric, None, sample.status)
    try:
        value, status = _finite((await asyncio.wait_for(score(), timeout_s)).value)
    except Exception as error:  # whatever a judge or the library does wrong is this item's status
        value, status = None, _reason(error)
    return Measurement(sample.item_id, sample.model, metric, value, status)


def _similarities(samples: Sequence[Sample], embed: Embed) -> list[Measurement]:
    """Return the cosine of answer and reference, every text embedded once."""
    texts = sorted({text for sample in samples if sample.status == OK for text in (sample.answer, sample.reference)})
    row = {text: number for number, text in enumerate(texts)}
    vectors = embed(texts) if texts else np.zeros((0, 1))

    def one(sample: Sample) -> Measurement:
        if sample.status != OK:
            return Measurement(sample.item_id, sample.model, "semantic_similarity", None, sample.status)
        cosine = float(vectors[row[sample.answer]] @ vectors[row[sample.reference]])
        return Measurement(sample.item_id, sample.model, "semantic_similarity", round(cosine, 6), OK)

    return [one(sample) for sample in samples]


def _finite(value: Any) -> tuple[float | None, str]:
    number = float(value)
    return (round(number, 6), OK) if math.isfinite(number) else (None, "no value")


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:MAX_REASON_CHARS]


def _silence_libraries() -> None:
    os.environ["RAGAS_DO_NOT_TRACK"] = "true"  # before the import, which reads it
    for name, level in LIBRARY_LOG_LEVELS.items():
        logging.getLogger(name).setLevel(level)
    from ragas import _analytics

    analytics: Any = _analytics
    if not analytics.get_userid.cache_info().currsize:
        # even untracked it writes an identity into the user's home; where it cannot, it uses "anonymous"
        place, analytics.user_data_dir = analytics.user_data_dir, None
        analytics.get_userid()
        analytics.user_data_dir = place
