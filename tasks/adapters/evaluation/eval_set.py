"""Read the evaluation set: items with their retrieved contexts, the general-knowledge probe, and the judge's pairs.

Reads `split/eval.parquet`, the models' indexes and the files in configs/; the holdout is never opened. It passes over
the conversations twice, once to draw the sample and once to read what was drawn: memory grows with the sample alone.
Every model answers from the passages that it is served with, while the reference answer is the same for all models: so
documents that only one index holds, or that only one search finds, count for the model that has them.
"""

import hashlib
import json
import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tasks.adapters.retrieval.index import Retriever
from tasks.adapters.storage.files import read_jsonl
from tasks.adapters.storage.tables import read_batches
from tasks.core.errors import ConfigError, DataError
from tasks.core.evaluation.judge_validation import LabelledPair
from tasks.core.evaluation.measurements import Item, ProbeItem, reference_answer
from tasks.core.records.schema import Conversation
from tasks.core.retrieval.context import holds_answer
from tasks.core.retrieval.passages import Passage
from tasks.core.statistics.stratified_sampling import stratified_sample

logger = logging.getLogger(__name__)

STRATA = ["id", "kind", "phrasing", "held_out"]


def draw_conversations(path: Path, size: int, seed: int) -> list[Conversation]:
    """Return `size` conversations, sorted by id, every kind and wording in proportion.

    Raises DataError where there is none; with fewer than `size`, all are taken and the log says so.
    """
    strata = {row[0]: row[1:] for frame in read_batches(path, STRATA) for row in frame.select(STRATA).iter_rows()}
    if not strata:
        raise DataError(f"{path} holds no conversation: give `split` more families, or a larger share for eval.")
    if len(strata) < size:
        logger.warning("%s holds %d items, %d were asked for: all are taken", path, len(strata), size)
    chosen = set(stratified_sample(strata, size, seed))
    rows = (row for frame in read_batches(path) for row in frame.iter_rows(named=True) if row["id"] in chosen)
    return sorted((Conversation.model_validate(row) for row in rows), key=lambda conversation: conversation.id)


@dataclass(frozen=True)
class RetrievalSetup:
    """Where a model's context comes from: its index, and how many passages of it stand in a prompt."""

    retriever: Retriever
    passages: int


def with_contexts(conversations: Sequence[Conversation], setups: Sequence[RetrievalSetup]) -> list[list[Item]]:
    """Return, for each setup, the conversations as items with the passages that serving would retrieve.

    The first setup has the newest index, whose ids of documents the conversations use. A known answer counts as right
    wherever the passages of any setup hold it; equal setups share their items.
    """
    newest = setups[0].retriever
    shown, holds = {}, {}
    for setup in dict.fromkeys(setups):
        documents = [setup.retriever.versions_of(c.document_ids, newest) for c in conversations]
        shown[setup] = _retrieve(conversations, setup, documents)
        holds[setup] = [_holds(*case) for case in zip(conversations, shown[setup], documents, strict=True)]
    answerable = [any(answers) for answers in zip(*holds.values(), strict=True)]
    items = {
        setup: [_item(*case) for case in zip(conversations, shown[setup], holds[setup], answerable, strict=True)]
        for setup in shown
    }
    return [items[setup] for setup in setups]


def _retrieve(
    conversations: Sequence[Conversation], setup: RetrievalSetup, documents: Sequence[Collection[str]]
) -> list[list[Passage]]:
    """Return the passages of each conversation's context; of documents that are to be withheld, none."""
    hidden = [ids if conversation.withhold else () for conversation, ids in zip(conversations, documents, strict=True)]
    return setup.retriever.search([conversation.question for conversation in conversations], setup.passages, hidden)


def _holds(conversation: Conversation, passages: Sequence[Passage], documents: Collection[str]) -> bool:
    """Return whether the passages hold the conversation's known answer."""
    if not conversation.answerable or conversation.withhold:
        return False
    has_documents = bool(conversation.document_ids)  # without, the conversation's author vouches for its answer
    return not has_documents or holds_answer(passages, documents, conversation.evidence)


def _item(conversation: Conversation, passages: Sequence[Passage], holds: bool, answerable: bool) -> Item:
    return Item(
        id=conversation.id,
        family=conversation.family,
        kind=conversation.kind,
        phrasing=conversation.phrasing,
        held_out=conversation.held_out,
        question=conversation.question,
        reference=reference_answer(conversation.answer, answerable=answerable),
        answerable=answerable,
        document_ids=tuple(conversation.document_ids),
        is_findable=conversation.answerable and not conversation.withhold and bool(conversation.document_ids),
        passages=tuple(passages),
        holds_answer=holds,
    )


def items_digest(items: Sequence[Item]) -> str:
    """Return the digest of questions, contexts and reference answers: models with equal digests saw the same items."""
    digest = hashlib.sha256()
    for item in items:
        shown = [item.id, item.question, item.reference, *(passage.text for passage in item.passages)]
        digest.update(json.dumps(shown, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def read_probe(path: Path) -> list[ProbeItem]:
    """Return the general-knowledge probe: one {"id", "question", "answers"} a line.

    Raises ConfigError that names the line.
    """
    return list(_read(path, TypeAdapter(ProbeItem)))


def read_pairs(path: Path) -> list[LabelledPair]:
    """Return the labelled pairs that a judge is validated on. Raises ConfigError that names the line."""
    return list(_read(path, TypeAdapter(LabelledPair)))


def _read(path: Path, kind: TypeAdapter[Any]) -> Iterator[Any]:
    number, seen = 0, set()
    try:
        for number, row in enumerate(read_jsonl(path), start=1):
            record = kind.validate_python(row)
            if record.id in seen:
                raise ConfigError(f"{path}:{number} repeats the id {record.id!r}: give every line its own.")
            seen.add(record.id)
            yield record
    except FileNotFoundError:
        raise ConfigError(f"{path} is missing: restore it, or name another file in finetune.evaluate.") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the line"
        raise ConfigError(f"{path}:{number} {field}: {first['msg'].lower()}; correct it.") from None
    except ValueError as error:
        raise ConfigError(f"{path}:{number + 1} is no JSON ({error}): correct it.") from None
    if not seen:
        raise ConfigError(f"{path} is empty: write one item a line.")
