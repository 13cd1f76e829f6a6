"""Conversations and what retrieval found for them, as prompts with the completion to learn.

The prompt is the one of inference: `prompt.render` over the passages and the last user turn, earlier turns before it.
Questions that one context can serve are asked over it together, which costs a fraction of their tokens (see `packing`):
those it answers, those about one of its documents that it does not answer, and those whose own documents are withheld.
Caveat: a companion sees the context that was retrieved for its leader, not the one that itself would have retrieved.
"""

import hashlib
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tasks.core.chat import prompt
from tasks.core.records.schema import Conversation
from tasks.core.retrieval.context import answering, holds_answer, training_context
from tasks.core.retrieval.passages import Passage

MIN_TELLTALE_CHARS = 12  # a shorter evidence ("None", "0") may stand in any passage without being the answer

Messages = tuple[dict[str, str], ...]


@dataclass(frozen=True)
class PromptedExample:
    """Chat messages and the answer to learn."""

    id: str
    kind: str
    messages: Messages
    answer: str


def prompted(conversation: Conversation, passages: Sequence[Passage]) -> PromptedExample:
    """Return the example of a conversation over a context; a system turn of its own gives way to the product's."""
    system, user = prompt.render([passage.text for passage in passages], conversation.question)
    turns = [message.model_dump() for message in conversation.messages if message.role != "system"]
    last = max(i for i, turn in enumerate(turns) if turn["role"] == "user")
    return PromptedExample(conversation.id, conversation.kind, (system, *turns[:last], user), conversation.answer)


def plain(example_id: str, question: str, answer: str) -> PromptedExample:
    """Return an example of general chat, without system text and context."""
    return PromptedExample(example_id, "replay", ({"role": "user", "content": question},), answer)


def stratified(keys: Iterable[tuple[str, str]], seed: int) -> list[tuple[str, str]]:
    """Return the (id, kind) pairs so that every beginning of the list holds the kinds in their proportions.

    Within a kind the order follows from the digest of seed and id: one more moves no other.
    """
    kinds: dict[str, list[str]] = defaultdict(list)
    for key, kind in keys:
        kinds[kind].append(key)
    placed = [
        ((i + 0.5) / len(members), kind, key)
        for kind, members in kinds.items()
        for i, key in enumerate(sorted(members, key=lambda key: _draw(seed, key)))
    ]
    return [(key, kind) for _, kind, key in sorted(placed)]


def own_context(
    conversation: Conversation, retrieved: Sequence[Passage], known: Sequence[Passage], *, k: int, seed: int
) -> list[Passage]:
    """Return the context to ask a conversation over; `known` are all passages of its documents."""
    if not conversation.answerable:
        return list(retrieved[:k])
    gold = answering(known, conversation.document_ids, conversation.evidence) if conversation.document_ids else []
    return training_context(retrieved, gold, k, random.Random(f"{seed} {conversation.id}"))


class Pool:
    """Conversations that are not yet examples, in the order given, found by what they ask about."""

    def __init__(self, conversations: Sequence[Conversation]) -> None:
        self._waiting = {conversation.id: conversation for conversation in conversations}
        self._place = {conversation.id: i for i, conversation in enumerate(conversations)}
        self._by_document: dict[str, list[str]] = defaultdict(list)
        self._by_family: dict[str, list[str]] = defaultdict(list)
        for conversation in conversations:
            if conversation.withhold:
                self._by_family[conversation.family].append(conversation.id)
                continue
            for document_id in conversation.document_ids:
                self._by_document[document_id].append(conversation.id)

    def __len__(self) -> int:
        return len(self._waiting)

    def next(self, count: int) -> list[Conversation]:
        """Return the first `count` conversations that wait, without taking them."""
        return [conversation for conversation, _ in zip(self._waiting.values(), range(count), strict=False)]

    def take(self, leader: Conversation, context: Sequence[Passage], most: int) -> list[Conversation]:
        """Take the leader and up to `most` - 1 others that its context serves too; nobody if the leader is gone."""
        if leader.id not in self._waiting:
            return []
        members = [leader]
        for conversation in self._candidates(leader, context):
            if len(members) == most:
                break
            if conversation.id != leader.id and _keeps_balance(members, conversation) and serves(context, conversation):
                members.append(conversation)
        for member in members:
            del self._waiting[member.id]
        return members

    def _candidates(self, leader: Conversation, context: Sequence[Passage]) -> list[Conversation]:
        ids = {i for passage in context for i in self._by_document.get(passage.document_id, ())}
        ids.update(self._by_family.get(leader.family, ()))
        waiting = [self._waiting[i] for i in ids if i in self._waiting]
        return sorted(waiting, key=lambda conversation: self._place[conversation.id])


def serves(context: Sequence[Passage], conversation: Conversation) -> bool:
    """Return whether the right answer over `context` is the one the conversation gives."""
    if not conversation.document_ids:
        return False
    shown = {passage.document_id for passage in context}
    if conversation.answerable:
        return holds_answer(context, conversation.document_ids, conversation.evidence)
    if not conversation.withhold:
        return not shown.isdisjoint(conversation.document_ids)
    return shown.isdisjoint(conversation.document_ids) and not _gives_away(context, conversation.evidence)


def _keeps_balance(members: Sequence[Conversation], conversation: Conversation) -> bool:
    """Return whether abstentions stay the lesser part: withheld questions fit nearly every context of their family."""
    answers = sum(member.answerable for member in members)
    return conversation.answerable or len(members) - answers < answers


def _gives_away(context: Sequence[Passage], evidence: str) -> bool:
    words = " ".join(evidence.split())
    return len(words) >= MIN_TELLTALE_CHARS and any(words in " ".join(p.text.split()) for p in context)


def _draw(seed: int, key: str) -> str:
    return hashlib.sha256(f"{seed} {key}".encode()).hexdigest()
