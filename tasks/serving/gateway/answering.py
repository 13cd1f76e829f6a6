"""Answer one question: retrieve passages, render the prompt, stream the generation, screen it for ungrounded terms.

The question is the user's last turn and the prompt is the one that the model was trained with, so earlier turns and a
client's system prompt are not shown to it. Text is emitted stripped, as evaluation reads it.
"""

import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from tasks.adapters.inference.stream_engine import GenerationRequest
from tasks.core.chat import prompt
from tasks.core.chat.abstention import is_abstention
from tasks.core.evaluation.grounding import ungrounded_terms
from tasks.core.retrieval.passages import Passage
from tasks.serving.gateway.answer_cache import AnswerCache, cache_key
from tasks.serving.gateway.served_model import ServedModel
from tasks.serving.protocol.openai_schema import Citation

Emit = Callable[[str], Awaitable[None]]


@dataclass(frozen=True)
class AnswerRequest:
    """A question and how it is to be answered."""

    question: str
    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None

    def parameters(self) -> dict[str, float | int | None]:
        """Return what decides the answer beside model and question."""
        names = ("max_tokens", "temperature", "top_p", "seed")
        return {name: getattr(self, name) for name in names}


@dataclass(slots=True)
class PartialAnswer:
    """An answer as far as it has come; complete when it has a finish reason. Times are of the monotonic clock.

    It is changed in place: a copy for each token would cost a twentieth of the request.
    """

    citations: tuple[Citation, ...] = ()
    text: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cpu_s: float | None = None
    first_at: float | None = None
    finish_reason: str | None = None
    ungrounded: tuple[str, ...] | None = None
    is_cached: bool = False

    @property
    def abstained(self) -> bool | None:
        """Whether it says that there is no answer; None while it is incomplete."""
        return is_abstention(self.text) if self.finish_reason else None

    @property
    def cited(self) -> list[Citation]:
        """The passages behind it: none for an abstention."""
        return [] if self.abstained else list(self.citations)


@dataclass
class Answering:
    """Work on one answer; `answer` says how far it has come, also after an error."""

    model: ServedModel
    request: AnswerRequest
    cache: AnswerCache[PartialAnswer]
    on_lookup: Callable[[bool], None]
    answer: PartialAnswer = field(default_factory=PartialAnswer)

    async def run(self, emit: Emit) -> PartialAnswer:
        """Answer, passing each part of the text to `emit`. Raises what search and engine raise."""
        kept = self._kept()
        if kept is not None:
            self.answer = replace(kept, is_cached=True, cpu_s=None, first_at=time.monotonic())
            await emit(kept.text)
            return self.answer
        found = await self.model.search.find(self.request.question)
        self.answer.citations = tuple(self._cite(passage, score) for passage, score in found)
        context = [passage.text for passage, _ in found]
        await self._write(prompt.render(context, self.request.question), emit)
        terms = ungrounded_terms(self.answer.text, prompt.SEPARATOR.join(context), self.request.question)
        self.answer.ungrounded = tuple(terms)
        if self._is_kept:
            self.cache.put(self._key, self.answer)
        return self.answer

    async def _write(self, messages: list[dict[str, str]], emit: Emit) -> None:
        wanted, answer, strip = self.request, self.answer, Stripper()
        request = GenerationRequest(messages, wanted.max_tokens, wanted.temperature, wanted.top_p, wanted.seed)
        async with aclosing(self.model.engine.stream(request)) as chunks:
            async for chunk in chunks:
                text = strip.feed(chunk.text)
                answer.prompt_tokens, answer.completion_tokens = chunk.prompt_tokens, chunk.completion_tokens
                answer.cpu_s, answer.finish_reason = chunk.cpu_s, chunk.finish_reason
                if text:
                    answer.text += text
                    answer.first_at = answer.first_at or time.monotonic()
                    await emit(text)

    def _cite(self, passage: Passage, score: float) -> Citation:
        return Citation(
            document_id=passage.document_id,
            passage_id=passage.id,
            title=self.model.titles.get(passage.document_id, ""),
            text=passage.text,
            score=round(score, 4),
        )

    def _kept(self) -> PartialAnswer | None:
        if not self._is_kept:
            return None
        kept = self.cache.get(self._key)
        self.on_lookup(kept is not None)
        return kept

    @property
    def _is_kept(self) -> bool:
        """Whether the answer may be cached: it must be deterministic."""
        return self.cache.is_on and self.request.temperature == 0

    @property
    def _key(self) -> str:
        return cache_key(
            model=self.model.digest,
            index=self.model.index_version,
            prompt=self.model.prompt_digest,
            engine=self.model.engine.name,
            parameters=self.request.parameters(),
            question=self.request.question,
        )


class Stripper:
    """Strips a text that comes in parts."""

    def __init__(self) -> None:
        self._held, self._has_begun = "", False

    def feed(self, text: str) -> str:
        """Return what can be shown so far: trailing whitespace waits for what follows it."""
        text = self._held + text if self._has_begun else text.lstrip()
        shown = text.rstrip()
        self._held = text[len(shown) :]
        self._has_begun |= bool(shown)
        return shown
