"""Summarise the rows of an evaluation as metrics: means over what was measured, null where nothing was. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from tasks.core.evaluation.measurements import OK, Item

DIGITS = 6


def summarise(model: str, rows: pl.DataFrame, probe: pl.DataFrame, ragas: pl.DataFrame) -> dict[str, Any]:
    """Return the metrics of one model, from the tables of all; `coverage` says how much a mean rests on."""
    rows, probe, ragas = (table.filter(pl.col("model") == model) for table in (rows, probe, ragas))
    return {
        **_means(rows),
        "probe_accuracy": _mean(probe["correct"]),
        "probe_coverage": _share(probe["status"] == OK),
        "coverage": _share(rows["status"] == OK),
        "prompt_tokens": int(rows["prompt_tokens"].sum()),
        "completion_tokens": int(rows["completion_tokens"].sum()),
        "ragas": _by_metric(ragas),
        "by_kind": _by(rows, "kind"),
        "by_wording": _by(rows.with_columns(wording=_wording()), "wording"),
    }


def summarise_retrieval(items: Sequence[Item], retrieval: pl.DataFrame) -> dict[str, Any]:
    """Return recall@k and MRR@k, and how often the passages found held the very answer."""
    findable = [item.holds_answer for item in items if item.is_findable]
    return {
        "items": retrieval.height,
        "recall_at_k": _mean(retrieval["recall_at_k"]),
        "mrr": _mean(retrieval["reciprocal_rank"]),
        "holds_answer": _share(pl.Series(findable, dtype=pl.Boolean)),
    }


def by_kind(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the mean score of each kind of question and model, as `dvc plots` draws it."""
    means = rows.group_by("kind", "model").agg(pl.col("score").mean().round(DIGITS)).sort("kind", "model")
    return means.filter(pl.col("score").is_not_null()).to_dicts()


def _means(rows: pl.DataFrame) -> dict[str, Any]:
    answerable, other = rows.filter(pl.col("answerable")), rows.filter(~pl.col("answerable"))
    declined = rows.filter(pl.col("abstained"))
    return {
        "items": rows.height,
        "score": _mean(rows["score"]),
        "exact_match": _mean(answerable["exact_match"]),
        "token_f1": _mean(answerable["token_f1"]),
        "hallucination_rate": _mean(rows["hallucinated"]),
        "abstention_precision": _mean(~declined["answerable"]),
        "abstention_recall": _mean(other["abstained"]),
        "ungrounded_rate": _mean(rows["ungrounded"]),
    }


def _by(rows: pl.DataFrame, column: str) -> dict[str, Any]:
    kept = ("items", "score", "hallucination_rate")
    groups: Iterable[tuple[tuple[Any, ...], pl.DataFrame]] = rows.sort(column).group_by(column, maintain_order=True)
    return {str(key[0]): {name: _means(group)[name] for name in kept} for key, group in groups}


def _by_metric(ragas: pl.DataFrame) -> dict[str, Any]:
    """Return the mean of each metric; where nothing was measured, why."""
    return {str(name): _mean_or_status(ragas.filter(pl.col("metric") == name)) for name in sorted(set(ragas["metric"]))}


def _mean_or_status(measured: pl.DataFrame) -> dict[str, Any]:
    mean, coverage = _mean(measured["value"]), _share(measured["value"].is_not_null())
    if mean is None:
        return {"mean": None, "coverage": coverage, "status": str(measured["status"].mode().sort().first())}
    return {"mean": mean, "coverage": coverage}


def _wording() -> pl.Expr:
    return pl.when(pl.col("held_out")).then(pl.lit("held_out")).otherwise(pl.lit("trained"))


def _mean(values: pl.Series) -> float | None:
    mean = values.cast(pl.Float64).mean()
    return round(mean, DIGITS) if isinstance(mean, float) else None


def _share(values: pl.Series) -> float:
    return round(float(values.sum()) / len(values), DIGITS) if len(values) else 0.0
