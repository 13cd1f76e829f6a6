"""Drop exact and near copies of documents and conversations; the first of a cluster stays.

Reads `clean`, writes `dedup`: the records that are nobody's copy, in input order, plus `dropped.jsonl` (id, record,
reason exact or near, id of the record kept instead). Exact: the same words but for case, whitespace and, in
questions, the ends of sentences. Near: MinHash with banding (see tasks/core/curation/minhash.py), verified from the
signatures.

Documents are compared by their text. Two that name themselves differently (the title stands in the text, and differs)
are no copies: a question by one name could not be answered from the other. A document that alone holds the evidence
of a conversation stays as well. Conversations that point to a dropped document point to its twin from then on.

Conversations are copies only where kind, wording, documents, answerability and answer are the same, and so are the
numbers, identifiers and negations of the question (all its words, where a template made it): `a` and `b` differ in
one letter, yet ask for different parameters. What remains to differ is how a person put the question. Caveat: a
paraphrase is no copy.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from pydantic import Field, field_validator

from tasks.adapters.storage.files import write_jsonl
from tasks.adapters.storage.tables import (
    CONVERSATION_SCHEMA,
    CONVERSATIONS,
    DOCUMENT_SCHEMA,
    DOCUMENTS,
    num_rows,
    read_batches,
    table_writer,
)
from tasks.core.curation import minhash
from tasks.core.curation.minhash import Bools, Int64
from tasks.core.stage import Report, StageConfig

DROPPED = "dropped.jsonl"
DOCUMENT_SHINGLE = 5  # words; Lee et al. 2022, "Deduplicating training data makes language models better", 4.2
CONVERSATION_SHINGLE = 2  # a question is short, and one changed word must count
SENTENCE_END = r"(\w)[.,;:!?]+(?:\s|$)"
FACT = (
    r"(?:^|\s)[^\w\s]+(?:\s|$)"  # an operator
    r"|\w*\d(?:[\w.,]*\w)?"  # a number, a version
    r"|\w+(?:[._]\w+)+|__\w+"  # os.path, max_size
    r"|\b[a-z]+[A-Z]\w*|\b[A-Z][A-Z]\w*"  # camelCase, CONSTANT
    r"|`[^`]+`|\b(?i:no|not|never|none|nor|without|\w+n['’]t)\b"
)


class Config(StageConfig):
    threshold: float = Field(0.75, gt=0.5, le=1)
    """Least share of common word 5-grams at which two documents are near copies."""
    conversation_threshold: float = Field(0.9, gt=0.5, le=1)
    """Least share of common word pairs at which two questions with the same answer are near copies."""
    bands: int = Field(minhash.BANDS, ge=4, le=28)
    """Number of LSH bands, a divisor of 112; more bands find more pairs near the threshold and cost more time."""
    distinct_names: bool = True
    """Keep near copies of documents that name themselves differently."""

    @field_validator("bands")
    @classmethod
    def _divides(cls, bands: int) -> int:
        if minhash.PERMUTATIONS % bands:
            raise ValueError(f"Must divide {minhash.PERMUTATIONS}, for example 14, 16 or 28")
        return bands


class DedupReport(Report):
    documents_seen: int
    documents_kept: int
    documents_exact: int
    documents_near: int
    documents_spared: int
    """Copies that stayed, since they alone hold the evidence of a conversation."""
    conversations_seen: int
    conversations_kept: int
    conversations_exact: int
    conversations_near: int
    conversations_repointed: int
    """Conversations whose document was dropped and that point to its twin now."""


@dataclass(frozen=True)
class Copies:
    """Which record is kept instead of which: row `twin[i]` instead of row i, itself where nothing is dropped."""

    ids: pl.Series
    twin: Int64
    is_exact: Bools

    @property
    def is_kept(self) -> Bools:
        return np.asarray(self.twin == np.arange(len(self.twin)), dtype=np.bool_)

    def count(self, *, exact: bool) -> int:
        return int((~self.is_kept & (self.is_exact == exact)).sum())

    def pairs(self) -> dict[str, str]:
        """Return the id of each dropped record with the id of its twin."""
        rows = np.flatnonzero(~self.is_kept)
        return dict(zip(self.ids[rows], self.ids[self.twin[rows]], strict=True))

    def lines(self, record: str) -> Iterator[dict[str, object]]:
        """Yield a line of dropped.jsonl for each dropped record."""
        exact = self.is_exact[~self.is_kept].tolist()
        for (dropped, kept), is_exact in zip(self.pairs().items(), exact, strict=True):
            yield {"id": dropped, "record": record, "reason": "exact" if is_exact else "near", "kept": kept}


def run(config: Config, clean: Path, out: Path) -> DedupReport:
    """Write the records of `clean` that are nobody's copy."""
    comparable = _by_text_and_name if config.distinct_names else by_text
    found = find_copies(clean / DOCUMENTS, comparable, threshold=config.threshold, bands=config.bands)
    documents = _spare_evidence(found, clean)
    families = _write_documents(documents, clean / DOCUMENTS, out / DOCUMENTS)
    repointed = _repoint(documents.pairs(), families, (clean / CONVERSATIONS, out / CONVERSATIONS))
    conversations = find_copies(
        out / CONVERSATIONS,
        _by_question,
        threshold=config.conversation_threshold,
        bands=config.bands,
        shingle=CONVERSATION_SHINGLE,
    )
    _write_kept(conversations, out / CONVERSATIONS)
    write_jsonl(out / DROPPED, [*documents.lines("document"), *conversations.lines("conversation")])
    return DedupReport(
        documents_seen=len(documents.ids),
        documents_kept=int(documents.is_kept.sum()),
        documents_exact=documents.count(exact=True),
        documents_near=documents.count(exact=False),
        documents_spared=int(documents.is_kept.sum() - found.is_kept.sum()),
        conversations_seen=len(conversations.ids),
        conversations_kept=int(conversations.is_kept.sum()),
        conversations_exact=conversations.count(exact=True),
        conversations_near=conversations.count(exact=False),
        conversations_repointed=repointed,
    )


def find_copies(
    path: Path,
    comparable: Callable[[pl.DataFrame], pl.DataFrame],
    *,
    threshold: float,
    bands: int,
    shingle: int = DOCUMENT_SHINGLE,
) -> Copies:
    """Return the copies among the records of a file; memory is about half a kilobyte a record.

    `comparable` gives for a batch the `text` to compare, `same` (copies agree in it) and `guard` (near copies agree
    in it).
    """
    n = num_rows(path)
    keys, guards = np.empty((n, 2), np.uint64), np.empty(n, np.uint64)
    signatures = np.empty((n, minhash.PERMUTATIONS), np.uint32)
    ids: list[pl.Series] = []
    start = 0
    for frame in read_batches(path):
        rows = slice(start, start + frame.height)
        view = comparable(frame)
        prints = minhash.fingerprint(view["text"], size=shingle)
        keys[rows], signatures[rows], guards[rows] = prints.keys, prints.signatures, view["guard"].to_numpy()
        keys[rows, 0] += view["same"].to_numpy()
        ids.append(frame["id"])
        start += frame.height
    first = minhash.first_of_equals(keys)
    is_exact = first != np.arange(n)
    near = minhash.kept_twins(signatures, np.flatnonzero(~is_exact), guards, threshold=threshold, bands=bands)
    return Copies(pl.concat(ids) if ids else pl.Series("id", [], pl.String), near[first], is_exact)


def by_text(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select("text", same=pl.lit(0, pl.UInt64), guard=pl.lit(0, pl.UInt64))


def _by_text_and_name(frame: pl.DataFrame) -> pl.DataFrame:
    title = pl.col("title")
    names_itself = pl.col("text").str.contains(title, literal=True) & (title != "")
    guard = pl.when(names_itself).then(title.hash(minhash.SEED)).otherwise(pl.lit(0, pl.UInt64))
    return frame.select("text", same=pl.lit(0, pl.UInt64), guard=guard)


def _by_question(frame: pl.DataFrame) -> pl.DataFrame:
    """Compare what was said before the last turn; all else that a copy must share goes into `same` and `guard`."""
    turns = pl.col("messages").list.eval(pl.element().struct.field("content"))
    view = frame.select(
        "kind",
        "phrasing",
        "answerable",
        "withhold",
        documents=pl.col("document_ids").list.join(" "),
        answer=_plain(turns.list.last()),
        text=turns.list.head(turns.list.len() - 1).list.join("\n").str.replace_all(SENTENCE_END, "$1 "),
    )
    facts = pl.col("text").str.extract_all(FACT).list.join(" ")
    said = pl.when(pl.col("phrasing") == "").then(facts).otherwise(_plain(pl.col("text")))
    same = pl.struct(pl.all().exclude("text"))
    return view.select(
        "text", same=same.hash(minhash.SEED), guard=pl.struct(same.alias("same"), said.alias("said")).hash(minhash.SEED)
    )


def _plain(text: pl.Expr) -> pl.Expr:
    return text.str.to_lowercase().str.extract_all(r"\S+").list.join(" ")


def _spare_evidence(found: Copies, clean: Path) -> Copies:
    """Return the copies without those that alone, not their twin, hold the evidence of a conversation."""
    pairs = found.pairs()
    asked = list(_evidence_of(pairs, clean / CONVERSATIONS))
    texts = _plain_texts({id_ for dropped, _ in asked for id_ in (dropped, pairs[dropped])}, clean / DOCUMENTS)
    spared = sorted(
        {dropped for dropped, evidence in asked if evidence in texts[dropped] and evidence not in texts[pairs[dropped]]}
    )
    is_spared = found.ids.is_in(spared).to_numpy()
    return Copies(found.ids, np.where(is_spared, np.arange(len(found.ids)), found.twin), found.is_exact)


def _evidence_of(dropped: dict[str, str], path: Path) -> Iterator[tuple[str, str]]:
    """Yield (document, evidence without its line breaks) of the conversations on dropped documents."""
    if not dropped:
        return
    gone = pl.DataFrame({"document_ids": list(dropped)})
    for frame in read_batches(path, ["document_ids", "evidence"]):
        asked = frame.filter(pl.col("evidence") != "").explode("document_ids").join(gone, on="document_ids", how="semi")
        for document, evidence in asked.unique(maintain_order=True).iter_rows():
            yield document, " ".join(evidence.split())


def _plain_texts(ids: set[str], path: Path) -> dict[str, str]:
    if not ids:
        return {}
    wanted = pl.DataFrame({"id": sorted(ids)})
    return {
        id_: " ".join(text.split())
        for frame in read_batches(path, ["id", "text"])
        for id_, text in frame.join(wanted, on="id", how="semi").iter_rows()
    }


def _write_documents(documents: Copies, source: Path, target: Path) -> dict[str, str]:
    """Write the documents that are kept; return the family of each that is some dropped document's twin."""
    twins = pl.Series("id", sorted(set(documents.pairs().values())), pl.String)
    families: dict[str, str] = {}
    start = 0
    with table_writer(target, DOCUMENT_SCHEMA) as writer:
        for frame in read_batches(source):
            kept = frame.filter(documents.is_kept[start : start + frame.height])
            writer.write(kept)
            families.update(kept.filter(pl.col("id").is_in(twins.implode())).select("id", "family").iter_rows())
            start += frame.height
    return families


def _repoint(twins: dict[str, str], families: dict[str, str], paths: tuple[Path, Path]) -> int:
    """Copy the conversations, pointing from dropped documents to their twins; return how many changed."""
    source, target = paths
    changed = 0
    documents = pl.col("document_ids")
    moved = documents.list.eval(pl.element().replace(list(twins), list(twins.values()))).list.unique(
        maintain_order=True
    )
    with table_writer(target, CONVERSATION_SCHEMA) as writer:
        for frame in read_batches(source):
            is_moved = frame.select(
                documents.list.set_intersection(pl.lit(list(twins), pl.List(pl.String))).list.len() > 0
            )
            family = pl.when(is_moved.to_series()).then(
                moved.list.first().replace_strict(families, default=pl.col("family"), return_dtype=pl.String)
            )
            writer.write(frame.with_columns(moved, family.otherwise(pl.col("family")).alias("family")))
            changed += int(is_moved.to_series().sum())
    return changed


def _write_kept(copies: Copies, path: Path) -> None:
    start = 0
    with table_writer(path, CONVERSATION_SCHEMA) as writer:
        for frame in read_batches(path):
            writer.write(frame.filter(copies.is_kept[start : start + frame.height]))
            start += frame.height
