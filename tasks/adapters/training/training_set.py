"""Read the training set: conversations over their retrieved contexts, and general chat, both tokenised.

Reads the train side's conversations (ids first, then only the chosen ones) and a file of general chat. An example
that is longer than a pack is dropped with that reason. Caveat: the other questions that a context can serve are looked
for among a few times as many conversations as are asked for, not among all.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.adapters.models.chat_template import tokenised
from tasks.adapters.retrieval.index import Retriever
from tasks.adapters.storage.files import read_jsonl
from tasks.adapters.storage.tables import DOCUMENTS, read_batches
from tasks.adapters.system.progress import Progress
from tasks.core.errors import ConfigError
from tasks.core.records.schema import Conversation
from tasks.core.statistics.stratified_sampling import stratified_order
from tasks.core.training.examples import ConversationPool, PromptedExample, chat_example, own_context, prompted_example
from tasks.core.training.packing import TokenisedExample, Tree, grow_trees

TRAIN = "train.parquet"
CANDIDATES_PER_EXAMPLE = 3  # conversations that are read for each example asked for
LEADERS_PER_SEARCH = 32  # questions whose contexts are retrieved in one call


@dataclass(frozen=True, kw_only=True)
class TrainingSetSpec:
    """How many examples to read and how to prompt them; the fields are those of the train stage's config."""

    max_examples: int
    passages: int
    share_context: int
    pack_tokens: int
    replay: float
    replay_file: Path
    seed: int


@dataclass
class TrainingSet:
    """Tokenised examples in groups that share a context, and the dropped ones with their reasons."""

    groups: list[list[TokenisedExample]] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    dropped: list[dict[str, object]] = field(default_factory=list)

    def add(self, examples: Sequence[tuple[PromptedExample, TokenisedExample]], max_tokens: int) -> None:
        """Add a group of examples, without those of more than `max_tokens` tokens."""
        group = []
        for example, tokens in examples:
            if len(tokens.tokens) > max_tokens:
                reason = f"{len(tokens.tokens)} tokens, more than pack_tokens={max_tokens}"
                self.dropped.append({"id": example.id, "reason": reason})
                continue
            self.kinds[example.kind] += 1
            group.append(tokens)
        if group:
            self.groups.append(group)

    def trees(self, capacity: int) -> list[Tree]:
        """Return the examples as trees of at most `capacity` tokens."""
        return [tree for group in self.groups for tree in grow_trees(group, capacity)]


def read_training_set(spec: TrainingSetSpec, split: Path, retriever: Retriever, tokenizer: Any) -> TrainingSet:
    """Return the training set of the train side of `split`; no passage of another side comes into a context."""
    training_set = TrainingSet()
    progress = Progress("finetune.train contexts", spec.max_examples)
    conversations = _candidates(spec, split / TRAIN)
    for group in _groups(spec, conversations, retriever, _train_documents(split / DOCUMENTS)):
        training_set.add([(example, tokenised(tokenizer, example)) for example in group], spec.pack_tokens)
        progress.advance(len(group))
    for example in _replay_examples(spec, training_set.kinds.total()):
        training_set.add([(example, tokenised(tokenizer, example))], spec.pack_tokens)
    return training_set


def _candidates(spec: TrainingSetSpec, path: Path) -> list[Conversation]:
    """Return the conversations to make examples from, in order, without reading all texts at once."""
    keys = [key for frame in read_batches(path, ["id", "kind"]) for key in frame.iter_rows()]
    order = [key for key, _ in stratified_order(keys, spec.seed)[: CANDIDATES_PER_EXAMPLE * spec.max_examples]]
    place = {key: i for i, key in enumerate(order)}
    chosen = [
        Conversation.model_validate(row)
        for frame in read_batches(path)
        for row in frame.filter(frame["id"].is_in(order)).iter_rows(named=True)
    ]
    return sorted(chosen, key=lambda conversation: place[conversation.id])


def _train_documents(path: Path) -> set[str]:
    batches = read_batches(path, ["id", "side"])
    return {document_id for frame in batches for document_id in frame.filter(frame["side"] == "train")["id"]}


def _groups(
    spec: TrainingSetSpec, conversations: Sequence[Conversation], retriever: Retriever, documents: Collection[str]
) -> Iterator[list[PromptedExample]]:
    """Yield groups of examples, each over the context of one conversation, until there are `max_examples`."""
    pool, left = ConversationPool(conversations), spec.max_examples
    while len(pool):
        leaders = pool.first(LEADERS_PER_SEARCH)
        hidden = [leader.document_ids if leader.withhold else [] for leader in leaders]
        questions = [leader.question for leader in leaders]
        found = retriever.search(questions, spec.passages, hidden, within=documents)
        for leader, retrieved in zip(leaders, found, strict=True):
            if not left:
                return
            known = retriever.passages_of(leader.document_ids)
            context = own_context(leader, retrieved, known, k=spec.passages, seed=spec.seed)
            members = pool.take(leader, context, min(spec.share_context, left))
            left -= len(members)
            if members:
                yield [prompted_example(member, context) for member in members]


def _replay_examples(spec: TrainingSetSpec, num_examples: int) -> list[PromptedExample]:
    """Return general chat as `replay` of all examples or as much as there is, spread evenly over its file."""
    if not spec.replay:
        return []
    path = spec.replay_file
    if not path.exists():
        raise ConfigError(f"finetune.train replay_file {path} does not exist: correct it or set replay=0.")
    rows = [chat_example(str(row["id"]), str(row["question"]), str(row["answer"])) for row in read_jsonl(path)]
    num_wanted = round(spec.replay / (1 - spec.replay) * num_examples)
    return rows if num_wanted >= len(rows) else [rows[i * len(rows) // num_wanted] for i in range(num_wanted)]
