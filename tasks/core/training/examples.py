"""Make training examples: a conversation over a retrieved context as prompt, its answer as the completion to learn.

Pure. The prompt is the one of inference: `prompt.render` over passages and last user turn, earlier turns before it.
Questions that one context can serve are asked over it together, which costs a fraction of their tokens (see `packing`):
those it answers, those about one of its documents that it does not answer, and those whose own documents are withheld.
The conversation that the context was retrieved for is the leader of its group. Caveat: the others of a group see the
leader's context, not the one that would have been retrieved for them.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.core.chat import prompt
from tasks.core.records.schema import Conversation
from tasks.core.retrieval.context import answering, holds_answer, training_context
from tasks.core.retrieval.passages import Passage

MIN_EVIDENCE_CHARS = 12  # a shorter evidence ("None", "0") may stand in any passage without being the answer

Messages = tuple[dict[str, str], ...]


@dataclass(frozen=True)
class PromptedExample:
    """The chat messages of a prompt, and the answer to learn."""

    id: str
    kind: str
    messages: Messages
    answer: str


def prompted_example(conversation: Conversation, passages: Sequence[Passage]) -> PromptedExample:
    """Return the example of a conversation over a context; the product's system turn replaces one of its own."""
    system, user = prompt.render([passage.text for passage in passages], conversation.question)
    turns = [message.model_dump() for message in conversation.messages if message.role != "system"]
    last = max(i for i, turn in enumerate(turns) if turn["role"] == "user")
    return PromptedExample(conversation.id, conversation.kind, (system, *turns[:last], user), conversation.answer)


def chat_example(example_id: str, question: str, answer: str) -> PromptedExample:
    """Return an example of general chat, without system text and context."""
    return PromptedExample(example_id, "replay", ({"role": "user", "content": question},), answer)


def own_context(
    conversation: Conversation, retrieved: Sequence[Passage], known: Sequence[Passage], *, k: int, seed: int
) -> list[Passage]:
    """Return the context to ask a conversation over; `known` are all passages of its documents."""
    if not conversation.answerable:
        return list(retrieved[:k])
    gold = answering(known, conversation.document_ids, conversation.evidence) if conversation.document_ids else []
    return training_context(retrieved, gold, k, random.Random(f"{seed} {conversation.id}"))


class ConversationPool:
    """Conversations that are not examples yet, in the order given, indexed by the documents they ask about."""

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

    def first(self, count: int) -> list[Conversation]:
        """Return the first `count` conversations, without taking them."""
        return [conversation for conversation, _ in zip(self._waiting.values(), range(count), strict=False)]

    def take(self, leader: Conversation, context: Sequence[Passage], max_members: int) -> list[Conversation]:
        """Take the leader and others that its context serves, `max_members` at most; none if the leader was taken."""
        if leader.id not in self._waiting:
            return []
        members = [leader]
        for conversation in self._candidates(leader, context):
            if len(members) == max_members:
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
    return shown.isdisjoint(conversation.document_ids) and not _contains_evidence(context, conversation.evidence)


def _keeps_balance(members: Sequence[Conversation], conversation: Conversation) -> bool:
    """Return whether abstentions stay at most half: withheld questions fit nearly every context of their family."""
    answers = sum(member.answerable for member in members)
    return conversation.answerable or len(members) - answers < answers


def _contains_evidence(context: Sequence[Passage], evidence: str) -> bool:
    words = " ".join(evidence.split())
    return len(words) >= MIN_EVIDENCE_CHARS and any(words in " ".join(p.text.split()) for p in context)
