"""Ask candidate, champion and base model the same questions, and measure every answer.

Reads `train` and `index` (the candidate with its documents), `fetch` (the champion with its own) and `split`
(eval.parquet; the holdout stays closed). Each model answers from the index that it serves with: what is compared is
what users would get, adapter and documents together. Writes `evaluate`: `rows.parquet` (an answer a row, from which
`promote` decides), `probe.parquet` (the general-knowledge probe, against forgetting), `retrieval.parquet` (of the
candidate), `ragas.parquet`, `summary.json` (metrics), `by_kind.json` (plot) and `reference.parquet` (what the
candidate's traffic will be compared with, see core/monitoring/traffic_row.py). Times go to the log and to
`measurements.json` below `settings.home`, never into the folder.
Method: reference-based measures with unanswerable questions (core/evaluation/answer_scores.py); a judge's scores are
reported, and only where it passed the labelled pairs. Caveat: rows repeat for the same precision and number of
processes (core/chat/prefix_groups.py).
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import polars as pl
from pydantic import Field

from tasks.adapters.storage.files import write_json
from tasks.adapters.storage.tables import table_writer
from tasks.adapters.system.progress import Progress
from tasks.core.chat import prompt
from tasks.core.evaluation.measurements import measure_retrieval
from tasks.core.evaluation.summary import by_kind, summarise, summarise_retrieval
from tasks.core.monitoring.traffic_row import evaluation_row
from tasks.core.stage import Report, StageConfig
from tasks.settings import Settings

if TYPE_CHECKING:
    from tasks.adapters.evaluation.evaluated_models import EvaluatedModel
    from tasks.adapters.evaluation.predictions import ModelRun
    from tasks.adapters.evaluation.ragas_table import JudgeSetup
    from tasks.adapters.inference.batch_types import EngineSpec
    from tasks.core.evaluation.judge_validation import Admission

logger = logging.getLogger(__name__)

REFERENCE = "reference.parquet"


class Config(StageConfig):
    RENAMED: ClassVar[dict[str, str]] = {"judge_least": "min_judge_accuracy"}

    items: int = Field(400, ge=2)
    """Evaluation items, every kind and wording in proportion; 200 find a difference of 9 points, 500 one of 6."""
    max_new_tokens: int = Field(40, ge=1)
    """Longest answer; one reference of a hundred is longer."""
    probe_tokens: int = Field(24, ge=1)
    """Longest answer to a question of the general-knowledge probe."""
    engine: Literal["auto", "openvino", "transformers"] = "auto"
    """What answers; auto: openvino for models that come from a GGUF file, else transformers."""
    precision: Literal["auto", "f32", "bf16"] = "auto"
    """Of the computation, as it will serve; auto: bf16 where the processor multiplies it natively, else f32."""
    processes: int = Field(2, ge=1)
    """Processes the prompts are shared among, each with the weights in memory; decides near ties, so it is a value."""
    concurrency: int = Field(32, ge=1)
    """Requests that a process computes together."""
    timeout_s: float = Field(600.0, gt=0)
    """Of one answer, from its start; a late one counts as not measured. Generous: a busy machine is no broken one."""
    cache_gb: int = Field(1, ge=1)
    """Memory of a process for the keys and values of its requests."""
    probe_file: Path = Path("configs/finetune/probe.jsonl")
    """The general-knowledge probe: questions outside the domain."""
    probe_items: int = Field(100, ge=1)
    """Most questions of the probe that are asked, from the top."""
    pairs_file: Path = Path("configs/finetune/judge_pairs.jsonl")
    """Labelled pairs that a judge is validated on."""
    judge_items: int = Field(100, ge=1)
    """Items a judge measures of each model, where one is configured; about 13 calls an item."""
    min_judge_accuracy: float = Field(0.75, ge=0.5, le=1)
    """Least balanced accuracy on the labelled pairs with which a judge is admitted."""
    seed: int = 0
    """Decides which items are drawn."""


class EvaluateReport(Report):
    items: int
    clusters: int
    """Different documents that the items ask about."""
    models: list[str]
    score: dict[str, float | None]
    """Primary metric of each model."""
    hallucination_rate: dict[str, float | None]
    probe_accuracy: dict[str, float | None]
    coverage: dict[str, float]
    recall_at_k: float | None
    engine: str
    precision: str
    judge_admitted: bool


def run(
    config: Config, train: Path, fetch: Path, split: Path, index: Path, out: Path, *, settings: Settings
) -> EvaluateReport:
    from tasks.adapters.evaluation.evaluated_models import load_evaluated_models
    from tasks.adapters.evaluation.ragas_table import ragas_table

    judge = _judge_setup(config, settings)
    models = load_evaluated_models(train, fetch, index, model_cache=settings.model_cache, threads=settings.threads)
    runs = _model_runs(config, models, split / "eval.parquet", settings)
    candidate = runs[0]
    ragas, admission = ragas_table(runs, candidate.model.retrieval.retriever.embedder.embed, judge)
    tables = {
        "rows": pl.concat(run.rows for run in runs),
        "probe": pl.concat(run.probe_rows for run in runs),
        "retrieval": measure_retrieval(candidate.prompts.items, candidate.model.retrieval.passages),
        "ragas": ragas,
    }
    summary = _summary(runs, tables, admission)
    _write_tables(out, tables)
    _write_reference(out / REFERENCE, candidate)
    write_json(out / "summary.json", summary)
    write_json(settings.home / "stages" / "evaluate" / "measurements.json", _speeds(runs))
    return _report(summary, runs)


def _model_runs(
    config: Config, models: Sequence["EvaluatedModel"], eval_file: Path, settings: Settings
) -> list["ModelRun"]:
    """Return each model's run; one that equals an earlier one, documents included, finds its cached answers."""
    from tasks.adapters.evaluation.eval_set import draw_conversations, read_probe, with_contexts
    from tasks.adapters.evaluation.predictions import ModelRun, PromptSet, predict

    conversations = draw_conversations(eval_file, config.items, config.seed)
    items_of_models = with_contexts(conversations, [model.retrieval for model in models])
    probe = read_probe(config.probe_file)[: config.probe_items]
    prompts = [PromptSet(items, probe, config.max_new_tokens, config.probe_tokens) for items in items_of_models]
    engines = [_engine_spec(config, model, settings) for model in models]
    progress = Progress("finetune.evaluate answers", sum(prompt_set.size for prompt_set in prompts))
    return [
        ModelRun(
            model,
            prompt_set,
            engine,
            predict(model, prompt_set, engine, cache=settings.home / "answers", progress=progress),
        )
        for model, prompt_set, engine in zip(models, prompts, engines, strict=True)
    ]


def _engine_spec(config: Config, model: "EvaluatedModel", settings: Settings) -> "EngineSpec":
    from tasks.adapters.evaluation.evaluated_models import merged_weights
    from tasks.adapters.inference.batch_engine import best_precision, choose_engine
    from tasks.adapters.inference.batch_types import EngineSpec

    engine = choose_engine(config.engine, model.base)
    return EngineSpec(
        engine=engine,
        weights=merged_weights(model, engine, settings.model_cache),
        tokenizer=model.base.folder,
        precision=best_precision() if config.precision == "auto" else config.precision,
        threads=settings.threads,
        processes=config.processes,
        concurrency=config.concurrency,
        timeout_s=config.timeout_s,
        cache_gb=config.cache_gb,
    )


def _judge_setup(config: Config, settings: Settings) -> "JudgeSetup | None":
    """Return the configured judge with its labelled pairs, or None where the environment names no judge."""
    from tasks.adapters.evaluation.eval_set import read_pairs
    from tasks.adapters.evaluation.ragas_judge import JudgeSpec, check_endpoint
    from tasks.adapters.evaluation.ragas_table import JudgeSetup

    if not settings.judge_base_url:
        return None
    spec = JudgeSpec(settings.judge_base_url, settings.judge_model, settings.judge_api_key.get_secret_value())
    check_endpoint(spec)
    pairs = read_pairs(config.pairs_file)
    return JudgeSetup(spec, pairs, config.min_judge_accuracy, config.judge_items, config.seed)


def _summary(runs: Sequence["ModelRun"], tables: Mapping[str, pl.DataFrame], admission: "Admission") -> dict[str, Any]:
    from tasks.adapters.evaluation.eval_set import items_digest

    candidate = runs[0]
    retrieval = summarise_retrieval(candidate.prompts.items, tables["retrieval"])
    return {
        **{run.name: summarise(run.name, tables["rows"], tables["probe"], tables["ragas"]) for run in runs},
        "retrieval": {"k": candidate.model.retrieval.passages, **retrieval},
        "judge": asdict(admission),
        "engine": candidate.engine.fixed(),
        "compared": {
            "models": {run.name: run.model.digest for run in runs},
            "indexes": {run.name: run.model.retrieval.retriever.version for run in runs},
            "items": {run.name: items_digest(run.prompts.items) for run in runs},
            "prompt": prompt.digest(),
        },
    }


def _speeds(runs: Sequence["ModelRun"]) -> dict[str, dict[str, float]]:
    """Return latency and throughput of each model, and write them to the log."""
    speeds = {run.name: run.predictions.speed() for run in runs}
    for name, speed in speeds.items():
        values = (name, speed["p50_s"], speed["p95_s"], speed["wall_s"])
        logger.info("%s: an answer in %.1f s, 95 of 100 in %.1f s, %.0f s in all", *values)
    return speeds


def _write_reference(path: Path, candidate: "ModelRun") -> None:
    """Write the candidate's questions and answers as the reference that its served traffic is compared with."""
    from tasks.adapters.monitoring.traffic_table import write_traffic

    items, retriever = candidate.prompts.items, candidate.model.retrieval.retriever
    vectors = retriever.embedder.embed([item.question for item in items])
    scores = retriever.similarity(vectors, [item.passages for item in items])
    measured = candidate.rows.select("abstained", "ungrounded").iter_rows()
    max_tokens = candidate.prompts.max_new_tokens
    traffic = [
        evaluation_row(item, reply, retrieval=score, abstained=abstained, ungrounded=ungrounded, max_tokens=max_tokens)
        for item, reply, score, (abstained, ungrounded) in zip(items, candidate.replies, scores, measured, strict=True)
    ]
    write_traffic(path, traffic, vectors, retriever.embedder.digest)


def _write_tables(out: Path, tables: Mapping[str, pl.DataFrame]) -> None:
    for name, table in tables.items():
        with table_writer(out / f"{name}.parquet", table.to_arrow().schema) as writer:
            writer.write(table)
    write_json(out / "by_kind.json", by_kind(tables["rows"]))


def _report(summary: Mapping[str, Any], runs: Sequence["ModelRun"]) -> EvaluateReport:
    names, candidate = [run.name for run in runs], runs[0]
    items, engine = candidate.prompts.items, candidate.engine
    return EvaluateReport(
        items=len(items),
        clusters=len({item.cluster for item in items}),
        models=names,
        score={name: summary[name]["score"] for name in names},
        hallucination_rate={name: summary[name]["hallucination_rate"] for name in names},
        probe_accuracy={name: summary[name]["probe_accuracy"] for name in names},
        coverage={name: summary[name]["coverage"] for name in names},
        recall_at_k=summary["retrieval"]["recall_at_k"],
        engine=engine.engine,
        precision=engine.precision,
        judge_admitted=summary["judge"]["admitted"],
    )
