"""What a context must hold so that a question can be answered from it, in training and in evaluation alike.

Both sides of the product ask the same question of the same passages, so that "answerable" in a training sample means
what it means in a measurement. Caveat: where the evidence is unknown, any passage of a named document counts as the
answer.
"""

import random
from collections.abc import Collection, Sequence

from tasks.core.retrieval.passages import Passage


def holds_answer(passages: Sequence[Passage], document_ids: Collection[str], evidence: str) -> bool:
    """Return whether a passage of one of the documents contains `evidence`, whatever the whitespace."""
    return bool(answering(passages, document_ids, evidence))


def answering(passages: Sequence[Passage], document_ids: Collection[str], evidence: str) -> list[Passage]:
    """Return the passages of the documents that contain `evidence` (all of them where it is empty), in order."""
    wanted = _plain(evidence)
    return [p for p in passages if p.document_id in document_ids and wanted in _plain(p.text)]


def training_context(
    retrieved: Sequence[Passage], gold: Sequence[Passage], k: int, rng: random.Random
) -> list[Passage]:
    """Return at most `k` passages to train an answerable question on: what retrieval found, and surely the answer.

    `gold` are the passages that hold the answer (see `answering`). Where the first `k` retrieved hold none of them, the
    first gold passage takes the place of a random one; the others keep their order. Without gold, retrieval stands.
    """
    context = list(retrieved[:k])
    known = {passage.id for passage in gold}
    if not gold or any(passage.id in known for passage in context):
        return context
    place = rng.randrange(k)
    if len(context) < k:
        return [*context[:place], gold[0], *context[place:]]
    return [*context[:place], gold[0], *context[place + 1 :]]


def _plain(text: str) -> str:
    return " ".join(text.split())
