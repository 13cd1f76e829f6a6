"""What the models are asked: items in their retrieved context, the general probe, and the judge's labelled pairs.

Reads `split/eval.parquet` and an opened index, and the files in configs/. The holdout is never opened. Two passes over
the conversations, one to draw the sample and one to read what was drawn: memory grows with the sample alone.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tasks.adapters.files import read_jsonl
from tasks.adapters.retrieval import Retriever
from tasks.adapters.tables import read_batches
from tasks.core.admission import Pair
from tasks.core.context import holds_answer
from tasks.core.errors import ConfigError, DataError
from tasks.core.measurements import Item, ProbeItem, expected
from tasks.core.records import Conversation
from tasks.core.sampling import stratified

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


def with_context(conversations: Sequence[Conversation], retriever: Retriever, k: int) -> list[Item]:
    """Return the conversations as items, each with the `k` passages that serving would show."""
    hidden = [conversation.document_ids if conversation.withhold else () for conversation in conversations]
    found = retriever.search([conversation.question for conversation in conversations], k, hidden)
    return [_item(conversation, passages) for conversation, passages in zip(conversations, found, strict=True)]


def _item(conversation: Conversation, passages: Sequence[Any]) -> Item:
    is_known = bool(conversation.document_ids)  # else whoever gave the conversation vouches for its answer
    holds = not is_known or holds_answer(passages, conversation.document_ids, conversation.evidence)
    answerable = conversation.answerable and not conversation.withhold and holds
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
    )


def items_digest(items: Sequence[Item]) -> str:
    """Return the digest of all that the models are shown and of what is right to say: equal means comparable."""
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
