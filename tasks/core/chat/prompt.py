"""The prompt template, the same for training, evaluation and serving.

Its digest is stored beside every adapter, so that a model is never asked with a prompt it was not trained on.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

VERSION = 1
SYSTEM = "Answer the question from the context. If the context does not contain the answer, say so."
ABSTENTION = "The context does not contain the answer."
USER = "Context:\n{context}\n\nQuestion: {question}"
SEPARATOR = "\n\n"


def render(passages: Sequence[str], question: str) -> list[dict[str, str]]:
    """Return the chat messages for a question and the passages that may answer it, best first."""
    user = USER.format(context=SEPARATOR.join(passages), question=question)
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": user}]


def digest() -> str:
    """Return the digest that an adapter keeps and that evaluation and serving compare."""
    parts = {"version": VERSION, "system": SYSTEM, "abstention": ABSTENTION, "user": USER, "separator": SEPARATOR}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class PromptMismatch:
    """Two different prompts, by the short form of their digests."""

    trained: str
    ours: str


def mismatch(trained: str | None) -> PromptMismatch | None:
    """Return None for an adapter that was trained on this release's prompt, else both prompts for the refusal.

    `trained` is the digest that is stored beside the adapter.
    """
    ours = digest()
    return None if trained == ours else PromptMismatch(str(trained)[:12], ours[:12])
