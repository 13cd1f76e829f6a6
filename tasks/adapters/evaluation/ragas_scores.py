"""What Ragas says of the same answers, one value or status for each item, model and metric.

A second opinion beside the product's own scores: reported, never the primary metric. A judge that does not pass the
labelled pairs is not asked about the models at all.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from tasks.adapters.evaluation.ragas_judge import Embed, Judge, JudgeSpec, Measurement, Sample, offline_scores, unjudged
from tasks.adapters.system.progress import Progress
from tasks.core.evaluation.judge_validation import NOT_TRIED, Admission, Pair, admit
from tasks.core.evaluation.measurements import Item
from tasks.core.statistics.stratified_sampling import stratified

logger = logging.getLogger(__name__)

_COLUMNS: dict[str, Any] = {
    "item_id": pl.String,
    "model": pl.String,
    "metric": pl.String,
    "value": pl.Float64,
    "status": pl.String,
}
SCHEMA = pl.Schema(_COLUMNS)


@dataclass(frozen=True)
class Bench:
    """A judge, the pairs it must tell apart, and how many items of each model it is asked about."""

    spec: JudgeSpec
    pairs: Sequence[Pair]
    least: float
    items: int
    seed: int


def second_opinion(
    rows: pl.DataFrame, items: Mapping[str, Sequence[Item]], embed: Embed, bench: Bench | None
) -> tuple[pl.DataFrame, Admission]:
    """Return the table of Ragas' metrics for the rows of all models, and whether the judge was admitted.

    `items` are the same for every model but for the passages that it was shown.
    """
    contexts = {
        (model, item.id): tuple(passage.text for passage in item.passages)
        for model, shown in items.items()
        for item in shown
    }
    samples = [_sample(row, contexts[row["model"], row["item_id"]]) for row in rows.iter_rows(named=True)]
    found = offline_scores(samples, embed)
    same = next(iter(items.values()))
    judged, admission = _judged(samples, same, embed, bench) if bench else (unjudged(samples), NOT_TRIED)
    table = pl.DataFrame([asdict(measurement) for measurement in [*found, *judged]], schema=SCHEMA)
    return table.sort("model", "metric", "item_id"), admission


def _judged(
    samples: Sequence[Sample], items: Sequence[Item], embed: Embed, bench: Bench
) -> tuple[list[Measurement], Admission]:
    judge = Judge(bench.spec, embed)
    admission = admit(bench.pairs, judge.verdicts(bench.pairs), bench.least)
    if not admission.admitted:
        logger.warning("the judge %s is not admitted: %s", bench.spec.model, admission.reason)
        return unjudged(samples, "judge not admitted"), admission
    strata = {item.id: (item.kind, item.phrasing, item.held_out) for item in items}
    chosen = set(stratified(strata, bench.items, bench.seed))
    asked = [sample for sample in samples if sample.item_id in chosen]
    progress = Progress("finetune.evaluate judge", len(unjudged(asked)))
    found = judge.scores(asked, progress.advance)
    return found + unjudged(s for s in samples if s.item_id not in chosen), admission


def _sample(row: dict[str, Any], contexts: tuple[str, ...]) -> Sample:
    return Sample(
        item_id=row["item_id"],
        model=row["model"],
        question=row["question"],
        answer=row["answer"],
        reference=row["reference"],
        contexts=contexts,
        status=row["status"],
        abstained=bool(row["abstained"]),
    )
