"""The one prompt template, used by training, evaluation and serving alike.

Its digest is stored beside every adapter, so that a model is never asked in words it was not trained on.
"""

import hashlib
import json
from collections.abc import Sequence

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
