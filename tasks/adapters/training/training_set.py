"""What a training is to learn from: conversations with their retrieved contexts, and general chat, as tokens.

Reads the train side's conversations (ids first, then only the chosen ones) and a file of general chat. An example
that is longer than a pack is left out and said so. Caveat: companions are looked for among the conversations that were
drawn, a few times as many as are asked for, not among all.
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
from tasks.core.training.examples import Pool, PromptedExample, own_context, plain, prompted, stratified
from tasks.core.training.packing import TokenisedExample, Tree, grow_trees

TRAIN = "train.parquet"
SPARE = 3  # times max_examples: conversations among which companions are looked for
LEADERS_AT_ONCE = 32


@dataclass(frozen=True, kw_only=True)
class Syllabus:
    """How many examples of what, and how they are asked; the fields are those of the train stage's config."""

    max_examples: int
    passages: int
    share_context: int
    pack_tokens: int
    replay: float
    replay_file: Path
    seed: int


@dataclass
class Lesson:
    """Examples in groups that share a context, and what was left out."""

    groups: list[list[TokenisedExample]] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    dropped: list[dict[str, object]] = field(default_factory=list)

    def add(self, examples: Sequence[tuple[PromptedExample, TokenisedExample]], longest: int) -> None:
        """Add a group of examples, without those of more than `longest` tokens."""
        group = []
        for example, tokens in examples:
            if len(tokens.tokens) > longest:
                reason = f"{len(tokens.tokens)} tokens, more than pack_tokens={longest}"
                self.dropped.append({"id": example.id, "reason": reason})
                continue
            self.kinds[example.kind] += 1
            group.append(tokens)
        if group:
            self.groups.append(group)

    def trees(self, capacity: int) -> list[Tree]:
        """Return the examples as trees of at most `capacity` tokens."""
        return [tree for group in self.groups for tree in grow_trees(group, capacity)]


def read_lesson(syllabus: Syllabus, split: Path, retriever: Retriever, tokenizer: Any) -> Lesson:
    """Return what to learn from the train side of `split`; no passage of another side comes into a context."""
    lesson = Lesson()
    progress = Progress("finetune.train contexts", syllabus.max_examples)
    conversations = _candidates(syllabus, split / TRAIN)
    for group in _groups(syllabus, conversations, retriever, _documents_of_train_side(split / DOCUMENTS)):
        lesson.add([(example, tokenised(tokenizer, example)) for example in group], syllabus.pack_tokens)
        progress.advance(len(group))
    for example in _replay(syllabus, lesson.kinds.total()):
        lesson.add([(example, tokenised(tokenizer, example))], syllabus.pack_tokens)
    return lesson


def _candidates(syllabus: Syllabus, path: Path) -> list[Conversation]:
    """Return conversations to draw from, in the order to draw, without reading all texts at once."""
    keys = [key for frame in read_batches(path, ["id", "kind"]) for key in frame.iter_rows()]
    order = [key for key, _ in stratified(keys, syllabus.seed)[: SPARE * syllabus.max_examples]]
    place = {key: i for i, key in enumerate(order)}
    chosen = [
        Conversation.model_validate(row)
        for frame in read_batches(path)
        for row in frame.filter(frame["id"].is_in(order)).iter_rows(named=True)
    ]
    return sorted(chosen, key=lambda conversation: place[conversation.id])


def _documents_of_train_side(path: Path) -> set[str]:
    batches = read_batches(path, ["id", "side"])
    return {document_id for frame in batches for document_id in frame.filter(frame["side"] == "train")["id"]}


def _groups(
    syllabus: Syllabus, conversations: Sequence[Conversation], retriever: Retriever, documents: Collection[str]
) -> Iterator[list[PromptedExample]]:
    """Yield examples that share a context until there are `max_examples`."""
    pool, left = Pool(conversations), syllabus.max_examples
    while len(pool):
        leaders = pool.next(LEADERS_AT_ONCE)
        hidden = [leader.document_ids if leader.withhold else [] for leader in leaders]
        questions = [leader.question for leader in leaders]
        found = retriever.search(questions, syllabus.passages, hidden, within=documents)
        for leader, retrieved in zip(leaders, found, strict=True):
            if not left:
                return
            known = retriever.passages_of(leader.document_ids)
            context = own_context(leader, retrieved, known, k=syllabus.passages, seed=syllabus.seed)
            members = pool.take(leader, context, min(syllabus.share_context, left))
            left -= len(members)
            if members:
                yield [prompted(member, context) for member in members]


def _replay(syllabus: Syllabus, num_examples: int) -> list[PromptedExample]:
    """Return general chat, `replay` of all examples or as much as there is, spread over its file."""
    if not syllabus.replay:
        return []
    path = syllabus.replay_file
    if not path.exists():
        raise ConfigError(f"finetune.train replay_file {path} does not exist: correct it or set replay=0.")
    rows = [plain(str(row["id"]), str(row["question"]), str(row["answer"])) for row in read_jsonl(path)]
    wanted = round(syllabus.replay / (1 - syllabus.replay) * num_examples)
    return rows if wanted >= len(rows) else [rows[i * len(rows) // wanted] for i in range(wanted)]
