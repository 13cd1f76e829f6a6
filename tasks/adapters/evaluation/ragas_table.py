"""Score the answers of all models with Ragas: one value, or the status that explains its absence, a metric and item.

These scores are reported beside the product's own and are never the gate's primary metric. A judge is first validated
on labelled pairs; one that does not pass is not asked about the models at all.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from tasks.adapters.evaluation.predictions import ModelRun
from tasks.adapters.evaluation.ragas_judge import Embed, Judge, JudgeSpec, Measurement, Sample, offline_scores, unjudged
from tasks.adapters.system.progress import Progress
from tasks.core.evaluation.judge_validation import NOT_TRIED, Admission, LabelledPair, admit
from tasks.core.evaluation.measurements import Item
from tasks.core.statistics.stratified_sampling import stratified_sample

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
class JudgeSetup:
    """A judge, the labelled pairs that it is validated on, and how many items of each model it is asked about."""

    spec: JudgeSpec
    pairs: Sequence[LabelledPair]
    min_accuracy: float
    items: int
    seed: int


def ragas_table(runs: Sequence[ModelRun], embed: Embed, judge: JudgeSetup | None) -> tuple[pl.DataFrame, Admission]:
    """Return the table of Ragas' metrics for the answers of all models, and whether the judge was admitted.

    The items of all runs are the same but for the passages that were shown.
    """
    samples = [sample for run in runs for sample in _samples(run)]
    found = offline_scores(samples, embed)
    items = runs[0].prompts.items
    judged, admission = _judged(samples, items, embed, judge) if judge else (unjudged(samples), NOT_TRIED)
    table = pl.DataFrame([asdict(measurement) for measurement in [*found, *judged]], schema=SCHEMA)
    return table.sort("model", "metric", "item_id"), admission


def _judged(
    samples: Sequence[Sample], items: Sequence[Item], embed: Embed, setup: JudgeSetup
) -> tuple[list[Measurement], Admission]:
    judge = Judge(setup.spec, embed)
    admission = admit(setup.pairs, judge.verdicts(setup.pairs), setup.min_accuracy)
    if not admission.admitted:
        logger.warning("the judge %s is not admitted: %s", setup.spec.model, admission.reason)
        return unjudged(samples, "judge not admitted"), admission
    strata = {item.id: (item.kind, item.phrasing, item.held_out) for item in items}
    chosen = set(stratified_sample(strata, setup.items, setup.seed))
    asked = [sample for sample in samples if sample.item_id in chosen]
    progress = Progress("finetune.evaluate judge", len(unjudged(asked)))
    found = judge.scores(asked, progress.advance)
    return found + unjudged(s for s in samples if s.item_id not in chosen), admission


def _samples(run: ModelRun) -> list[Sample]:
    return [
        Sample(
            item_id=item.id,
            model=run.name,
            question=item.question,
            answer=reply.text,
            reference=item.reference,
            contexts=tuple(passage.text for passage in item.passages),
            status=reply.status,
            abstained=bool(abstained),
        )
        for item, reply, abstained in zip(run.prompts.items, run.replies, run.rows["abstained"], strict=True)
    ]
