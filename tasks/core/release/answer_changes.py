"""Which questions a candidate answers better or worse than its rival: the examples a person wants to see.

The greatest changes of the primary metric come first; ties go by item id, and no kind of question takes more than its
share, so that a page shows a variety. Takes the evaluation's rows.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from tasks.core.statistics.paired_comparison import CHAMPION, ITEM, MODEL, OK, STATUS

TEXTS = ("question", "reference", "answer", "kind")


@dataclass(frozen=True)
class ChangedAnswer:
    """A question with its right answer, what the rival said and what the candidate says."""

    item_id: str
    kind: str
    question: str
    reference: str
    before: str
    after: str
    change: float


@dataclass(frozen=True)
class Changes:
    """How many answers became better and worse, with examples of each."""

    num_gained: int
    num_lost: int
    gained: tuple[ChangedAnswer, ...]
    lost: tuple[ChangedAnswer, ...]


def changed_answers(rows: pl.DataFrame, rival: str, primary: str, count: int) -> Changes:
    """Return up to `count` examples each way; none where the rows lack the columns."""
    if not {ITEM, MODEL, STATUS, primary, *TEXTS} <= set(rows.columns) or not rows[primary].dtype.is_numeric():
        return Changes(0, 0, (), ())
    measured = rows.filter((pl.col(STATUS) == OK) & pl.col(primary).is_not_nan() & pl.col(primary).is_not_null())
    left, right = (measured.filter(pl.col(MODEL) == model).unique(ITEM, keep="first") for model in ("candidate", rival))
    pairs = left.join(right, on=ITEM, suffix=CHAMPION).with_columns(change=pl.col(primary) - pl.col(primary + CHAMPION))
    gained = pairs.filter(pl.col("change") > 0).sort("change", ITEM, descending=[True, False])
    lost = pairs.filter(pl.col("change") < 0).sort("change", ITEM)
    return Changes(gained.height, lost.height, tuple(_varied(gained, count)), tuple(_varied(lost, count)))


def _varied(pairs: pl.DataFrame, count: int) -> Iterator[ChangedAnswer]:
    share = max(1, -(-count // max(1, min(count, pairs["kind"].n_unique()))))
    taken: Counter[str] = Counter()
    for row in pairs.iter_rows(named=True):
        if taken.total() == count:
            return
        if taken[row["kind"]] >= share:
            continue
        taken[row["kind"]] += 1
        yield ChangedAnswer(
            item_id=row[ITEM],
            kind=row["kind"],
            question=row["question"],
            reference=row["reference"],
            before=row["answer" + CHAMPION],
            after=row["answer"],
            change=round(row["change"], 6),
        )
