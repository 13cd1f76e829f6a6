"""What the models are asked: items in their retrieved context, the general probe, and the judge's labelled pairs.

Reads `split/eval.parquet`, the models' indexes and the files in configs/. The holdout is never opened. Two passes over
the conversations, one to draw the sample and one to read what was drawn: memory grows with the sample alone.
Every model answers from the passages that it is served with, while what is right to say is one and the same for all:
so documents that only one index holds, or that only one search finds, count for the model that has them.
"""

import hashlib
import json
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tasks.adapters.retrieval.index import Retriever
from tasks.adapters.storage.files import read_jsonl
from tasks.adapters.storage.tables import read_batches
from tasks.core.errors import ConfigError, DataError
from tasks.core.evaluation.judge_validation import Pair
from tasks.core.evaluation.measurements import Item, ProbeItem, expected
from tasks.core.records.schema import Conversation
from tasks.core.retrieval.context import holds_answer
from tasks.core.retrieval.passages import Passage
from tasks.core.statistics.stratified_sampling import stratified

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
    chosen = set(stratified(strata, size, seed))
    rows = (row for frame in read_batches(path) for row in frame.iter_rows(named=True) if row["id"] in chosen)
    return sorted((Conversation.model_validate(row) for row in rows), key=lambda conversation: conversation.id)


@dataclass(frozen=True)
class View:
    """What a model sees of the documents: its index, and how many passages of it."""

    retriever: Retriever
    passages: int


def with_contexts(conversations: Sequence[Conversation], views: Mapping[str, View]) -> dict[str, list[Item]]:
    """Return, by model, the conversations as items with the passages that serving would show that model.

    The first view is the newest, whose ids of documents the conversations use. The known answer is right to say
    wherever the passages of any view hold it; equal views share their items.
    """
    newest = next(iter(views.values())).retriever
    shown, holds = {}, {}
    for view in dict.fromkeys(views.values()):
        documents = [view.retriever.versions_of(c.document_ids, newest) for c in conversations]
        shown[view] = _shown(conversations, view, documents)
        holds[view] = [_holds(*case) for case in zip(conversations, shown[view], documents, strict=True)]
    answerable = [any(answers) for answers in zip(*holds.values(), strict=True)]
    items = {
        view: [_item(*case) for case in zip(conversations, shown[view], holds[view], answerable, strict=True)]
        for view in shown
    }
    return {name: items[view] for name, view in views.items()}


def _shown(
    conversations: Sequence[Conversation], view: View, documents: Sequence[Collection[str]]
) -> list[list[Passage]]:
    """Return the passages that each conversation is shown; where its documents are to be withheld, none of theirs."""
    hidden = [ids if conversation.withhold else () for conversation, ids in zip(conversations, documents, strict=True)]
    return view.retriever.search([conversation.question for conversation in conversations], view.passages, hidden)


def _holds(conversation: Conversation, passages: Sequence[Passage], documents: Collection[str]) -> bool:
    """Return whether the passages hold the conversation's answer."""
    if not conversation.answerable or conversation.withhold:
        return False
    is_known = bool(conversation.document_ids)  # else whoever gave the conversation vouches for its answer
    return not is_known or holds_answer(passages, documents, conversation.evidence)


def _item(conversation: Conversation, passages: Sequence[Passage], holds: bool, answerable: bool) -> Item:
    return Item(
        id=conversation.id,
        family=conversation.family,
        kind=conversation.kind,
        phrasing=conversation.phrasing,
        held_out=conversation.held_out,
        question=conversation.question,
        reference=expected(conversation.answer, answerable=answerable),
        answerable=answerable,
        document_ids=tuple(conversation.document_ids),
        is_findable=conversation.answerable and not conversation.withhold and bool(conversation.document_ids),
        passages=tuple(passages),
        holds_answer=holds,
    )


def items_digest(items: Sequence[Item]) -> str:
    """Return the digest of all that a model is shown and of what is right to say: equal means comparable."""
    digest = hashlib.sha256()
    for item in items:
        shown = [item.id, item.question, item.reference, *(passage.text for passage in item.passages)]
        digest.update(json.dumps(shown, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def read_probe(path: Path) -> list[ProbeItem]:
    """Return the probe: one {"id", "question", "answers"} a line. Raises ConfigError that names the line."""
    return list(_read(path, TypeAdapter(ProbeItem)))


def read_pairs(path: Path) -> list[Pair]:
    """Return the labelled pairs of the judge's admission. Raises ConfigError that names the line."""
    return list(_read(path, TypeAdapter(Pair)))


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
