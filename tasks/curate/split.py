"""Deal documents and conversations to train, eval and holdout, so that no document feeds two sides.

Reads `dedup`, writes `split`: `documents.parquet` with a column `side`, the conversations as `train.parquet`,
`eval.parquet` and `holdout.parquet`, `dropped.jsonl` (id, reason, with) and `contamination.jsonl` (every overlap
found).

The side of a document follows from its family (tasks/core/curation/split_assignment.py); a conversation goes where
its documents are, or where its own family falls where it has none. Wordings kept for evaluation leave train. Then
train is decontaminated (tasks/core/curation/contamination.py): what of eval and holdout is looked for in train are
the documents that conversations there use, answers with their evidence, and dialogues that no template made as a
whole. The words of a template are no contamination, nor is an answer of few words, such as a default value. Caveat:
an overlap is looked for between single texts.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import polars as pl
import pyarrow as pa
from pydantic import Field, model_validator

from tasks.adapters.storage.files import write_jsonl
from tasks.adapters.storage.tables import (
    CONVERSATION_SCHEMA,
    CONVERSATIONS,
    DOCUMENT_SCHEMA,
    DOCUMENTS,
    read_batches,
    table_writer,
)
from tasks.core.curation import contamination
from tasks.core.curation.contamination import Grams, Reserve, grams_of
from tasks.core.curation.split_assignment import SIDES, Shares, Side, side_of
from tasks.core.errors import DataError
from tasks.core.stage import Report, StageConfig

SPLIT_DOCUMENT_SCHEMA = DOCUMENT_SCHEMA.append(pa.field("side", pa.string()))
DROPPED, CONTAMINATION = "dropped.jsonl", "contamination.jsonl"
TWO_SIDES = "its documents are on different sides"
NO_DOCUMENT = "its documents are gone"
HELD_OUT = "wording kept for evaluation"
OVERLAP = "overlaps evaluation"


class Config(StageConfig):
    train_share: float = Field(0.7, gt=0, lt=1)
    """Share of families to train on."""
    eval_share: float = Field(0.15, gt=0, lt=1)
    """Share of families to measure every candidate on."""
    holdout_share: float = Field(0.15, ge=0, lt=1)
    """Share of families that no stage reads; 0 for none."""
    ngram: int = Field(contamination.SIZE, ge=5)
    """Words of the sequences by which overlap is measured."""
    contamination_share: float = Field(0.5, gt=0, le=1)
    """Least share of a reserved text's sequences in one train text at which its conversations are dropped."""
    seed: int = 0
    """Another seed deals the families anew: a document may change side, so old scores no longer compare."""

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        total = self.train_share + self.eval_share + self.holdout_share
        if abs(total - 1) > 1e-9:
            raise ValueError(f"Train_share, eval_share and holdout_share add up to {total:g}, not to 1")
        return self

    @property
    def shares(self) -> Shares:
        return Shares(self.train_share, self.eval_share, self.holdout_share)


class SplitReport(Report):
    documents: dict[str, int]
    families: dict[str, int]
    conversations: dict[str, int]
    kinds: dict[str, dict[str, int]]
    """Conversations of each kind on each side."""
    dropped: dict[str, int]
    """Conversations that are on no side, by reason."""
    reserved_ngrams: int
    """Sequences of eval and holdout that were looked for in train."""
    contaminated_documents: int
    """Train documents that hold a reserved text."""
    contaminated_conversations: int
    """Train conversations that hold a reserved text themselves."""


@dataclass
class Dealt:
    """What conversations brought to each side, and which are on none."""

    kinds: dict[str, Counter[str]] = field(default_factory=lambda: {side: Counter() for side in SIDES})
    families: dict[str, set[str]] = field(default_factory=lambda: {side: set() for side in SIDES})
    documents: dict[str, set[str]] = field(default_factory=lambda: {side: set() for side in SIDES})
    dropped: list[dict[str, object]] = field(default_factory=list)

    def keep(self, side: Side, frame: pl.DataFrame) -> None:
        self.kinds[side].update(frame["kind"].to_list())
        self.families[side].update(frame["family"].to_list())
        self.documents[side].update(frame["document_ids"].explode(empty_as_null=False).to_list())

    def drop(self, frame: pl.DataFrame) -> None:
        self.dropped += frame.select("id", "reason", pl.col("with")).to_dicts()


@dataclass(frozen=True)
class Overlaps:
    """Train records that hold reserved ones: by record type and id, the reserved id they hold most of."""

    lines: list[dict[str, object]]
    reserved: dict[str, dict[str, str]]
    num_ngrams: int


def run(config: Config, dedup: Path, out: Path) -> SplitReport:
    """Write both record types by side. Raises DataError where a side that has a share gets no conversation."""
    sides = _deal_documents(config, dedup / DOCUMENTS, out / DOCUMENTS)
    first = _deal_conversations(config, dedup / CONVERSATIONS, out, sides)
    overlaps = _find_overlaps(config, out, first)
    train = _drop_overlapping(overlaps, out)
    kinds = {**first.kinds, "train": train.kinds["train"]}
    documents = Counter(sides["side"].to_list())
    dropped = first.dropped + train.dropped
    write_jsonl(out / DROPPED, dropped)
    write_jsonl(out / CONTAMINATION, overlaps.lines)
    report = SplitReport(
        documents={side: documents[side] for side in SIDES},
        families={side: len(first.families[side].union(sides.filter(side=side)["family"].to_list())) for side in SIDES},
        conversations={side: kinds[side].total() for side in SIDES},
        kinds={side: dict(sorted(kinds[side].items())) for side in SIDES},
        dropped=dict(sorted(Counter(str(line["reason"]) for line in dropped).items())),
        reserved_ngrams=overlaps.num_ngrams,
        contaminated_documents=len(overlaps.reserved["document"]),
        contaminated_conversations=len(overlaps.reserved["conversation"]),
    )
    _refuse_empty_sides(config, report)
    return report


def _deal_documents(config: Config, source: Path, target: Path) -> pl.DataFrame:
    """Write the documents with their side; return id, family and side of each."""
    known: list[pl.DataFrame] = []
    with table_writer(target, SPLIT_DOCUMENT_SCHEMA) as writer:
        for frame in read_batches(source):
            dealt = frame.with_columns(side=_sides_of(frame["family"], config))
            writer.write(dealt)
            known.append(dealt.select("id", "family", "side"))
    empty = pl.DataFrame(schema={"id": pl.String, "family": pl.String, "side": pl.String})
    return pl.concat([empty, *known])


def _deal_conversations(config: Config, source: Path, out: Path, sides: pl.DataFrame) -> Dealt:
    """Write each conversation to its side's file."""
    dealt = Dealt()
    with ExitStack() as stack:
        writers = {side: stack.enter_context(table_writer(_file(out, side), CONVERSATION_SCHEMA)) for side in SIDES}
        for frame in read_batches(source):
            placed = _place(frame, sides.select("id", "side"), config)
            dealt.drop(placed.filter(pl.col("reason").is_not_null()))
            for side in SIDES:
                kept = placed.filter(pl.col("reason").is_null() & (pl.col("side") == side))
                writers[side].write(kept)
                dealt.keep(side, kept)
    return dealt


def _place(frame: pl.DataFrame, sides: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Return the conversations with `side`, and `reason` where it is on none (`with` names another record, here
    none)."""
    numbered = frame.with_row_index("row")
    of_documents = (
        numbered.select("row", id="document_ids")
        .explode("id", empty_as_null=False)
        .join(sides, on="id", how="left")
        .group_by("row")
        .agg(num_sides=pl.col("side").drop_nulls().n_unique(), of_documents=pl.col("side").min())
    )
    has_documents = pl.col("num_sides").is_not_null()
    side = pl.when(has_documents).then("of_documents").otherwise(_sides_of(frame["family"], config))
    reason = (
        pl.when(pl.col("num_sides") == 0)
        .then(pl.lit(NO_DOCUMENT))
        .when(pl.col("num_sides") > 1)
        .then(pl.lit(TWO_SIDES))
        .when(pl.col("held_out") & (pl.col("side") == "train"))
        .then(pl.lit(HELD_OUT))
    )
    placed = numbered.join(of_documents, on="row", how="left", maintain_order="left").with_columns(side=side)
    return placed.with_columns(pl.lit(None, pl.String).alias("with"), reason=reason)


def _find_overlaps(config: Config, out: Path, dealt: Dealt) -> Overlaps:
    """Look for the texts of eval and holdout in those of train."""
    parts: list[Grams] = []
    known: list[dict[str, str]] = []
    for frame in _texts(out, dealt, ("eval", "holdout"), config.ngram):
        parts.append(grams_of(frame["text"], size=config.ngram, first=len(known)))
        known += frame.drop("text").to_dicts()
    reserve = Reserve(parts)
    lines: list[dict[str, object]] = []
    found: dict[str, dict[str, str]] = {"document": {}, "conversation": {}}
    for frame in _texts(out, dealt, ("train",), config.ngram):
        for match in reserve.matches(frame["text"], min_share=config.contamination_share, size=config.ngram):
            record, id_ = frame["record"][match.row], frame["id"][match.row]
            other = known[match.reserved]
            found[record].setdefault(id_, other["id"])
            lines.append(
                {
                    "record": record,
                    "id": id_,
                    "side": other["side"],
                    "reserved_record": other["record"],
                    "reserved": other["id"],
                    "share": round(match.share, 4),
                }
            )
    return Overlaps(lines, found, len(reserve))


def _texts(out: Path, dealt: Dealt, sides: Sequence[Side], ngram: int) -> Iterator[pl.DataFrame]:
    """Yield id, record, side and text of what is compared: documents that conversations use, and the conversations."""
    used = pl.DataFrame({"id": sorted(set().union(*(dealt.documents[side] for side in sides)))}, {"id": pl.String})
    for frame in read_batches(out / DOCUMENTS, ["id", "text", "side"]):
        chosen = frame.filter(pl.col("side").is_in(sides)).join(used, on="id", how="semi", maintain_order="left")
        yield chosen.select("id", pl.lit("document").alias("record"), "side", "text")
    for side in sides:
        for frame in read_batches(_file(out, side)):
            yield frame.select(
                "id", pl.lit("conversation").alias("record"), pl.lit(side).alias("side"), _content(ngram).alias("text")
            )


def _content(ngram: int) -> pl.Expr:
    """Return what of a conversation must not be on two sides; null where it is too little to tell."""
    said = pl.col("messages").list.eval(
        pl.element().filter(pl.element().struct.field("role") != "system").struct.field("content")
    )
    answer = pl.concat_str(said.list.last(), pl.lit("\n"), "evidence")
    is_telling = pl.col("answerable") & (answer.str.count_matches(r"\w+") >= ngram)
    return pl.when(pl.col("phrasing") == "").then(said.list.join("\n")).when(is_telling).then(answer)


def _drop_overlapping(overlaps: Overlaps, out: Path) -> Dealt:
    """Rewrite train without the conversations that hold, or whose documents hold, a reserved text."""
    dealt = Dealt()
    by_id, by_document = (_lookup(overlaps.reserved[record]) for record in ("conversation", "document"))
    with table_writer(_file(out, "train"), CONVERSATION_SCHEMA) as writer:
        for frame in read_batches(_file(out, "train")):
            own = frame.select("id").join(by_id, on="id", how="left", maintain_order="left")["with"]
            theirs = (
                frame.select(owner="id", id="document_ids")
                .explode("id", empty_as_null=False)
                .join(by_document, on="id")
                .unique("owner")
                .select(id="owner", of_document="with")
            )
            held = pl.coalesce(own, "of_document").alias("with")
            marked = frame.join(theirs, on="id", how="left", maintain_order="left").with_columns(held)
            dealt.drop(marked.filter(pl.col("with").is_not_null()).with_columns(reason=pl.lit(OVERLAP)))
            kept = marked.filter(pl.col("with").is_null())
            writer.write(kept)
            dealt.keep("train", kept)
    return dealt


def _lookup(reserved: dict[str, str]) -> pl.DataFrame:
    return pl.DataFrame({"id": list(reserved), "with": list(reserved.values())}, {"id": pl.String, "with": pl.String})


def _refuse_empty_sides(config: Config, report: SplitReport) -> None:
    for side in SIDES:
        if report.conversations[side] == 0 and (side != "holdout" or config.holdout_share > 0):
            raise DataError(
                f"No conversation falls to {side}, and only {report.families[side]} of "
                f"{sum(report.families.values())} families do: add documents of more families, or change "
                "the shares or the seed in configs/curate/split.yaml."
            )


def _sides_of(families: pl.Series, config: Config) -> pl.Series:
    names = families.unique().to_list()
    return families.replace_strict(
        names, [side_of(name, config.shares, seed=config.seed) for name in names], return_dtype=pl.String
    ).alias("side")


def _file(out: Path, side: Side) -> Path:
    return out / f"{side}.parquet"
