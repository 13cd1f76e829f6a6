"""Ask candidate, champion and base model the same questions, and measure every answer.

Reads `train` and `index` (the candidate with its documents), `fetch` (the champion with its own) and `split`
(eval.parquet; the holdout stays closed). Each model answers from the index that it serves with: what is compared is
what users would get, adapter and documents together. Writes `evaluate`: `rows.parquet` (an answer a row, from which
`promote` decides), `probe.parquet` (general questions, against forgetting), `retrieval.parquet` (of the candidate),
`ragas.parquet`, `summary.json` (metrics), `by_kind.json` (plot) and `reference.parquet` (what the candidate's traffic
will be compared with, see core/traffic.py). Times go to the log and to `measurements.json` below `settings.home`, never
into the folder.
Method: reference-based measures with unanswerable questions (core/scores.py); a judge's are reported, and only where it
passed the labelled pairs. Caveat: rows repeat for the same precision and number of processes (core/sharing.py).
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
from pydantic import Field

from tasks.adapters.storage.files import write_json
from tasks.adapters.storage.tables import table_writer
from tasks.adapters.system.progress import Progress
from tasks.core.chat import prompt
from tasks.core.evaluation.measurements import OK, Item, Reply, measure, measure_probe, measure_retrieval
from tasks.core.evaluation.summary import by_kind, summarise, summarise_retrieval
from tasks.core.monitoring.traffic_row import exam_row
from tasks.core.stage import Report, StageConfig
from tasks.settings import Settings

if TYPE_CHECKING:
    from tasks.adapters.evaluation.compared_models import Contender, Paper, Sheet
    from tasks.adapters.evaluation.ragas_scores import Bench
    from tasks.adapters.inference.batch_types import Answer, EngineSpec
    from tasks.adapters.retrieval.index import Retriever

logger = logging.getLogger(__name__)

REFERENCE = "reference.parquet"


class Config(StageConfig):
    items: int = Field(400, ge=2)
    """Evaluation items, every kind and wording in proportion; 200 find a difference of 9 points, 500 one of 6."""
    max_new_tokens: int = Field(40, ge=1)
    """Longest answer; one reference of a hundred is longer."""
    probe_tokens: int = Field(24, ge=1)
    """Longest answer to a question of the probe."""
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
    """General questions outside the domain."""
    probe_items: int = Field(100, ge=1)
    """Most questions of it that are asked, from the top."""
    pairs_file: Path = Path("configs/finetune/judge_pairs.jsonl")
    """Labelled pairs that a judge must tell apart."""
    judge_items: int = Field(100, ge=1)
    """Items a judge measures of each model, where one is configured; about 13 calls an item."""
    judge_least: float = Field(0.75, ge=0.5, le=1)
    """Least balanced accuracy of a judge on the labelled pairs."""
    seed: int = 0
    """Decides which items are drawn."""


class EvaluateReport(Report):
    items: int
    clusters: int
    """Documents behind the items."""
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
    from tasks.adapters.evaluation import compared_models, eval_set
    from tasks.adapters.evaluation.ragas_scores import second_opinion

    bench = _bench(config, settings)
    models = compared_models.contenders(train, fetch, index, settings.model_cache)
    views = compared_models.views(models, settings.threads)
    items = eval_set.with_contexts(
        eval_set.draw_conversations(split / "eval.parquet", config.items, config.seed), views
    )
    papers = _papers(config, items)
    specs = {model.name: _spec(config, model, settings) for model in models}
    sheets = _answer(models, specs, papers, settings.home / "answers")
    newest, asked = views["candidate"], items["candidate"]
    rows = pl.concat(measure(items[name], name, _replies(sheet.items)) for name, sheet in sheets.items())
    ragas, admission = second_opinion(rows, items, newest.retriever.embedder.embed, bench)
    tables = {
        "rows": rows,
        "probe": pl.concat(measure_probe(papers[n].probe, n, _replies(sheet.probe)) for n, sheet in sheets.items()),
        "retrieval": measure_retrieval(asked, newest.passages),
        "ragas": ragas,
    }
    summary = {
        **{name: summarise(name, **tables) for name in sheets},
        "retrieval": {"k": newest.passages, **summarise_retrieval(asked, tables["retrieval"])},
        "judge": asdict(admission),
        "engine": specs["candidate"].fixed(),
        "compared": {
            "models": {model.name: model.digest for model in models},
            "indexes": {name: view.retriever.version for name, view in views.items()},
            "items": {name: eval_set.items_digest(shown) for name, shown in items.items()},
            "prompt": prompt.digest(),
        },
    }
    _write_tables(out, tables)
    _write_reference(out / REFERENCE, asked, sheets["candidate"].items, rows, newest.retriever, config.max_new_tokens)
    write_json(out / "summary.json", summary)
    write_json(settings.home / "stages" / "evaluate" / "measurements.json", _speeds(sheets))
    return _report(summary, asked, list(sheets), specs["candidate"])


def _papers(config: Config, items: Mapping[str, Sequence[Item]]) -> dict[str, "Paper"]:
    from tasks.adapters.evaluation.compared_models import Paper
    from tasks.adapters.evaluation.eval_set import read_probe

    probe = read_probe(config.probe_file)[: config.probe_items]
    return {name: Paper(shown, probe, config.max_new_tokens, config.probe_tokens) for name, shown in items.items()}


def _answer(
    models: Sequence["Contender"], specs: Mapping[str, "EngineSpec"], papers: Mapping[str, "Paper"], kept: Path
) -> dict[str, "Sheet"]:
    """Return what each model answered; an equal one with equal documents finds the answers of the first one kept."""
    from tasks.adapters.evaluation.compared_models import Desk, answers

    progress = Progress("finetune.evaluate answers", sum(papers[model.name].size for model in models))
    return {model.name: answers(model, papers[model.name], Desk(specs[model.name], kept, progress)) for model in models}


def _spec(config: Config, model: "Contender", settings: Settings) -> "EngineSpec":
    from tasks.adapters.evaluation.compared_models import weights
    from tasks.adapters.inference.batch_engine import best_precision, choose_engine
    from tasks.adapters.inference.batch_types import EngineSpec

    engine = choose_engine(config.engine, model.base)
    return EngineSpec(
        engine=engine,
        weights=weights(model, engine, settings.model_cache),
        tokenizer=model.base.folder,
        precision=best_precision() if config.precision == "auto" else config.precision,
        threads=settings.threads,
        processes=config.processes,
        concurrency=config.concurrency,
        timeout_s=config.timeout_s,
        cache_gb=config.cache_gb,
    )


def _replies(answers: Sequence["Answer"]) -> list[Reply]:
    return [Reply(a.text, a.prompt_tokens, a.completion_tokens, a.status) for a in answers]


def _bench(config: Config, settings: Settings) -> "Bench | None":
    """Return the configured judge with its test, or None where the environment names none."""
    from tasks.adapters.evaluation.eval_set import read_pairs
    from tasks.adapters.evaluation.ragas_judge import JudgeSpec, check_endpoint
    from tasks.adapters.evaluation.ragas_scores import Bench

    if not settings.judge_base_url:
        return None
    spec = JudgeSpec(settings.judge_base_url, settings.judge_model, settings.judge_api_key.get_secret_value())
    check_endpoint(spec)
    return Bench(spec, read_pairs(config.pairs_file), config.judge_least, config.judge_items, config.seed)


def _speeds(sheets: Mapping[str, "Sheet"]) -> dict[str, dict[str, float]]:
    """Return latency and throughput of each model, and say them in the log."""
    speeds = {}
    for name, sheet in sheets.items():
        seconds = [answer.seconds for answer in sheet.items if answer.status == OK]
        p50, p95 = (round(float(np.quantile(seconds, q)), 3) for q in (0.5, 0.95)) if seconds else (0.0, 0.0)
        tokens = sum(answer.completion_tokens for answer in (*sheet.items, *sheet.probe))
        speeds[name] = {"p50_s": p50, "p95_s": p95, "wall_s": sheet.wall_s, "tokens_per_s": tokens / sheet.wall_s}
        logger.info("%s: an answer in %.1f s, 95 of 100 in %.1f s, %.0f s in all", name, p50, p95, sheet.wall_s)
    return speeds


def _write_reference(
    path: Path,
    items: Sequence[Item],
    answers: Sequence["Answer"],
    rows: pl.DataFrame,
    retriever: "Retriever",
    most_tokens: int,
) -> None:
    """Keep the candidate's questions and answers as the traffic it is known to serve."""
    from tasks.adapters.monitoring.traffic_table import write_traffic

    vectors = retriever.embedder.embed([item.question for item in items])
    scores = retriever.likeness(vectors, [item.passages for item in items])
    measured = rows.filter(pl.col("model") == "candidate").select("abstained", "ungrounded").iter_rows()
    seen = [
        exam_row(item, reply, retrieval=score, abstained=abstained, ungrounded=ungrounded, most_tokens=most_tokens)
        for item, reply, score, (abstained, ungrounded) in zip(items, _replies(answers), scores, measured, strict=True)
    ]
    write_traffic(path, seen, vectors, retriever.embedder.digest)


def _write_tables(out: Path, tables: Mapping[str, pl.DataFrame]) -> None:
    for name, table in tables.items():
        with table_writer(out / f"{name}.parquet", table.to_arrow().schema) as writer:
            writer.write(table)
    write_json(out / "by_kind.json", by_kind(tables["rows"]))


def _report(summary: Mapping[str, Any], items: Sequence[Item], names: list[str], spec: "EngineSpec") -> EvaluateReport:
    return EvaluateReport(
        items=len(items),
        clusters=len({item.cluster for item in items}),
        models=names,
        score={name: summary[name]["score"] for name in names},
        hallucination_rate={name: summary[name]["hallucination_rate"] for name in names},
        probe_accuracy={name: summary[name]["probe_accuracy"] for name in names},
        coverage={name: summary[name]["coverage"] for name in names},
        recall_at_k=summary["retrieval"]["recall_at_k"],
        engine=spec.engine,
        precision=spec.precision,
        judge_admitted=summary["judge"]["admitted"],
    )
