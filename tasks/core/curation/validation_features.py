"""What a validation suite looks at: a few numbers for each record instead of its text.

Expectations run over these frames alone, so that neither personal data nor large texts reach a validation result.
Lengths are in characters. `copy` is 1 for the first record of an id, 2 for the second and so on.
"""

import numpy as np
import polars as pl

from tasks.core.chat.prompt import ABSTENTION

REPLACEMENT = "\ufffd"  # what a decoder writes for bytes it cannot read
MOJIBAKE = r"Ã[\u0080-\u00bf]|â€[\u0080-\u00bf™œž\u201a-\u2122]|Â[\u00a0-\u00bf]"  # UTF-8 read as Latin-1 or cp1252
CONTROL = r"[\x00-\x08\x0b\x0e-\x1f\x7f]"
ISO_TIME = r"^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?$"


def document_features(batch: pl.DataFrame) -> pl.DataFrame:
    """Return one row of numbers for each document of `batch`."""
    text = pl.col("text").fill_null("")
    return batch.select(
        empty_fields=_empty_fields("id", "family", "title", "source", "uri", "licence"),
        text_length=text.str.len_chars(),
        title_length=pl.col("title").fill_null("").str.len_chars(),
        undecodable_share=_undecodable_share(text),
        control_share=_share(text, CONTROL),
        seen_at_is_time=pl.col("seen_at").fill_null("").str.contains(ISO_TIME),
    )


def conversation_features(batch: pl.DataFrame, known_documents: np.ndarray) -> pl.DataFrame:
    """Return one row of numbers for each conversation of `batch`.

    known_documents: sorted `id_hashes` of the documents a conversation may refer to.
    """
    roles = pl.col("messages").fill_null([]).list.eval(pl.element().struct.field("role"))
    contents = _contents()
    lengths = contents.list.eval(pl.element().str.strip_chars().str.len_chars())
    turns = pl.when(roles.list.first() == "system").then(roles.list.slice(1)).otherwise(roles)
    text = contents.list.join("\n")
    abstains = contents.list.last().fill_null("") == ABSTENTION
    frame = batch.select(
        empty_fields=_empty_fields("id", "family", "kind", "source", "licence"),
        num_turns=turns.list.len(),
        roles_alternate=turns.list.join(" ")
        .str.contains(r"^user(?: assistant user)*(?: assistant)?$")
        .fill_null(False),
        ends_with_assistant=(turns.list.last() == "assistant").fill_null(False),
        num_empty_turns=lengths.list.eval(pl.element() == 0).list.sum().fill_null(0).cast(pl.Int64),
        longest_turn=lengths.list.max().fill_null(0),
        undecodable_share=_undecodable_share(text),
        control_share=_share(text, CONTROL),
        answerable_unless_abstaining=pl.col("answerable").fill_null(False) != abstains,
        seen_at_is_time=pl.col("seen_at").fill_null("").str.contains(ISO_TIME),
    )
    return frame.with_columns(num_unknown_documents=_num_unknown(batch["document_ids"], known_documents))


def said(batch: pl.DataFrame) -> pl.Series:
    """Return the contents of each conversation's messages, a line each."""
    return batch.select(_contents().list.join("\n"))["messages"]


def id_hashes(ids: pl.Series) -> np.ndarray:
    """Return 64 bits for each id: enough to tell millions of ids apart in 8 bytes each."""
    return ids.fill_null("").hash(seed=0).to_numpy()


def copies(hashes: np.ndarray) -> pl.Series:
    """Return for each record the how-manieth of its id it is, from 1."""
    return pl.DataFrame({"id": hashes}).select(copy=pl.col("id").cum_count().over("id"))["copy"]


def _contents() -> pl.Expr:
    return pl.col("messages").fill_null([]).list.eval(pl.element().struct.field("content").fill_null(""))


def _empty_fields(*names: str) -> pl.Expr:
    return pl.sum_horizontal((pl.col(name).fill_null("") == "").cast(pl.Int64) for name in names)


def _share(text: pl.Expr, pattern: str) -> pl.Expr:
    return text.str.count_matches(pattern) / pl.max_horizontal(text.str.len_chars(), 1)


def _undecodable_share(text: pl.Expr) -> pl.Expr:
    count = text.str.count_matches(REPLACEMENT, literal=True) + 2 * text.str.count_matches(MOJIBAKE)
    return count / pl.max_horizontal(text.str.len_chars(), 1)


def _num_unknown(document_ids: pl.Series, known: np.ndarray) -> pl.Series:
    rows = (
        pl.DataFrame({"row": pl.int_range(len(document_ids), eager=True), "id": document_ids})
        .explode("id")
        .drop_nulls("id")
    )
    hashes = id_hashes(rows["id"])
    places = np.searchsorted(known, hashes)
    is_known = np.zeros(len(hashes), dtype=bool)
    inside = places < len(known)
    is_known[inside] = known[places[inside]] == hashes[inside]
    missing = rows.with_columns(missing=pl.Series(~is_known)).group_by("row").agg(pl.col("missing").sum())
    every = pl.DataFrame({"row": pl.int_range(len(document_ids), eager=True)})
    return every.join(missing, on="row", how="left", maintain_order="left")["missing"].fill_null(0)
