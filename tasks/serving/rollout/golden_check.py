"""Ask a version its golden questions, through its own index and engine, before it may serve.

They are kept beside the version, drawn from its evaluation, with what the answer must hold. A version without any must
answer one fixed question with text, in time. Caveat: a probe tells a broken version from a working one, no more;
whether it is good was the gate's question.
"""

import asyncio
from collections.abc import Sequence

from tasks.core.digests import short
from tasks.core.release.golden_questions import Golden, holds
from tasks.serving.config import ServeConfig
from tasks.serving.gateway.answer_cache import AnswerCache
from tasks.serving.gateway.answering import Answering, AnswerRequest, PartialAnswer
from tasks.serving.gateway.served_model import ServedModel

FIXED = "What do these documents describe?"


async def check_golden(model: ServedModel, golden: Sequence[Golden], config: ServeConfig) -> str | None:
    """Return why the version must not serve, as a sentence, or None. Raises EngineLostError for a lost engine."""
    questions = [question.question for question in golden] or [FIXED]
    name = f"Model {short(model.digest)}"
    try:
        async with asyncio.timeout(config.golden_check_s):
            answers = await asyncio.gather(*(_ask(model, question, config) for question in questions))
    except TimeoutError:
        return f"{name} did not answer its {len(questions)} golden questions within {config.golden_check_s:g} s."
    empty = sum(not any(map(str.isalnum, answer)) for answer in answers)
    if empty:
        return f"{name} gave no text to {empty} of its {len(questions)} golden questions."
    right = sum(holds(answer, question.holds) for answer, question in zip(answers, golden, strict=False))
    if right < config.min_golden_share * len(golden):
        return f"{name} answered {right} of its {len(golden)} golden questions rightly, fewer than it must."
    return None


async def _ask(model: ServedModel, question: str, config: ServeConfig) -> str:
    async def ignore(_: str) -> None:
        """Nobody reads along."""

    cache: AnswerCache[PartialAnswer] = AnswerCache(0)
    work = Answering(model, AnswerRequest(question, config.golden_check_tokens), cache, lambda _: None)
    return (await work.run(ignore)).text
