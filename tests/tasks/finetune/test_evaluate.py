"""What the stage writes: rows, summary, probe, the reference for drift, and equal bytes."""

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from tasks.adapters.inference.batch_types import Answer
from tasks.adapters.monitoring.traffic_table import read_traffic
from tasks.adapters.retrieval.embedder import Embedder
from tasks.core.errors import ConfigError
from tasks.core.evaluation.measurements import ROW_SCHEMA
from tasks.core.stage import fault_of
from tasks.finetune.evaluate import Config
from tasks.settings import Settings
from tests.tasks.finetune.conftest import EvaluateStage, right


def test_rows_of_all_models_say_who_answers_from_the_context(stage: EvaluateStage) -> None:
    stage.say = right
    report = stage.run()
    rows = stage.rows()
    assert rows.schema == ROW_SCHEMA
    assert (report.items, report.models, report.clusters) == (15, ["candidate", "base"], 10)
    assert report.score == {"candidate": 1.0, "base": 0.0}
    assert report.hallucination_rate == {"candidate": 0.0, "base": 1.0}
    assert rows.filter(pl.col("answerable"))["item_id"].unique().sort().to_list() == [f"c{n}" for n in range(10)]
    assert rows.filter(pl.col("item_id") == "c3")["reference"].to_list() == ["13", "13"]
    assert all(len(ids) == 3 for ids in rows["retrieved_ids"])
    hidden = rows.filter(pl.col("kind") == "withheld")
    assert not any(
        f"{cluster}-" in "".join(ids) for cluster, ids in hidden.select("cluster", "retrieved_ids").iter_rows()
    )


def test_the_summary_nests_by_model_and_names_what_was_compared(stage: EvaluateStage) -> None:
    stage.say = right
    stage.run()
    summary = stage.summary()
    assert {"candidate", "base", "retrieval", "judge", "engine", "compared"} == set(summary)
    assert summary["candidate"]["by_wording"]["held_out"]["items"] == 5
    assert summary["candidate"]["abstention_recall"] == 1.0
    assert summary["candidate"]["ragas"]["exact_match"]["mean"] == 1.0
    assert summary["candidate"]["ragas"]["faithfulness"]["status"] == "not evaluated"
    assert summary["retrieval"]["recall_at_k"] == 1.0
    assert summary["judge"]["admitted"] is False
    assert set(summary["compared"]["models"]) == {"candidate", "base"}
    assert summary["engine"]["engine"] == "openvino"


def test_the_folder_is_the_same_bytes_every_time_and_holds_no_times(stage: EvaluateStage) -> None:
    stage.say = right
    stage.run()
    first = {path.name: path.read_bytes() for path in stage.out.iterdir()}
    shutil.rmtree(stage.settings.home)
    stage.run()
    assert {path.name: path.read_bytes() for path in stage.out.iterdir()} == first
    assert set(first) == {
        "rows.parquet",
        "probe.parquet",
        "retrieval.parquet",
        "ragas.parquet",
        "summary.json",
        "by_kind.json",
        "reference.parquet",
    }
    measured = json.loads((stage.settings.home / "stages/evaluate/measurements.json").read_text())
    assert measured["candidate"]["p95_s"] == 0.5


def test_the_candidate_s_answers_are_what_its_traffic_will_be_compared_with(
    stage: EvaluateStage, embedder: Embedder
) -> None:
    stage.say = lambda model, text: Answer("", 50, 0, "timeout", 9.0) if "alpha.load?" in text else right(model, text)
    stage.run(max_new_tokens=5)
    rows = stage.rows().filter(pl.col("model") == "candidate")
    reference = read_traffic(stage.out / "reference.parquet", embedder.digest)
    assert reference["answer_id"].to_list() == rows["item_id"].to_list()
    assert reference["question"].to_list() == rows["question"].to_list()
    assert reference["abstained"].to_list() == rows["abstained"].to_list()
    is_good = ~rows["abstained"].fill_null(True) & ~rows["ungrounded"].fill_null(True)
    assert reference["quality"].to_list() == is_good.to_list()
    assert reference["answer_length"].null_count() == 2
    assert reference["latency_s"].null_count() == reference["cost"].null_count() == reference.height
    assert reference["retrieval_score"].is_between(0.2, 1).all()
    assert set(reference["question_embedding"].list.len()) == {embedder.dimensions}
    stage.run(max_new_tokens=3)
    cut = read_traffic(stage.out / "reference.parquet", "another")
    assert not cut["quality"].any(), "an answer as long as the limit is not complete"
    assert cut["question_embedding"].null_count() == cut.height


def test_the_probe_is_asked_without_context_and_counts_general_knowledge(stage: EvaluateStage) -> None:
    seen: list[str] = []

    def say(model: str, text: str) -> Answer:
        seen.append(text)
        return Answer("It is Paris.", 20, 4, "ok", 0.1)

    stage.say = say
    report = stage.run()
    probe = pl.read_parquet(stage.out / "probe.parquet")
    assert probe.height == 200
    assert report.probe_accuracy["base"] == 0.02  # the capital of France and the city of the Eiffel Tower
    asked = [text for text in seen if "capital of France" in text]
    assert len(asked) == 2
    assert "Context:" not in asked[0]


def test_the_holdout_is_not_needed(stage: EvaluateStage) -> None:
    kept = (stage.split / "eval.parquet").read_bytes()
    stage.split.unlink()
    stage.split.mkdir()
    (stage.split / "eval.parquet").write_bytes(kept)
    assert stage.run().items == 15


def test_the_judge_is_read_from_the_environment_and_its_address_checked(stage: EvaluateStage) -> None:
    stage.settings = stage.settings.model_copy(update={"judge_base_url": "judge:80"})
    with pytest.raises(ConfigError, match="no http"):
        stage.run()


@pytest.mark.slow
def test_the_real_engine_answers_the_whole_stage(
    tmp_path: Path, curated: Path, settings: Settings, repository: Path, monkeypatch: Any
) -> None:
    (tmp_path / "checkout").mkdir()
    stage = EvaluateStage(tmp_path / "checkout", curated, settings)
    shutil.rmtree(stage.train / "adapter")
    write_lora(stage.train / "adapter")
    monkeypatch.chdir(repository)
    few = tmp_path / "probe.jsonl"
    few.write_text("".join((repository / "configs/finetune/probe.jsonl").read_text().splitlines(keepends=True)[:4]))
    report = stage.run(items=4, probe_file=few, max_new_tokens=8, probe_tokens=8)
    assert report.coverage == {"candidate": 1.0, "base": 1.0}
    rows = stage.rows()
    assert rows["prompt_tokens"].min() > 50  # type: ignore[operator]
    by_model = {model[0]: frame["answer"].to_list() for model, frame in rows.group_by("model")}
    assert by_model["candidate"] == by_model["base"]  # an adapter of zeros changes nothing
    assert report.probe_accuracy["base"] is not None


def write_lora(folder: Path) -> None:
    """A real LoRA adapter whose update is zero."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir()
    target = "base_model.model.model.layers.0.self_attn.q_proj"
    down, up = torch.ones(4, 576), torch.zeros(576, 4)
    save_file({f"{target}.lora_A.weight": down, f"{target}.lora_B.weight": up}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"r": 4, "lora_alpha": 8}))


def test_a_field_that_has_a_new_name_names_it() -> None:
    with pytest.raises(ValidationError) as refused:
        Config.model_validate({"judge_least": 0.8})
    assert fault_of(refused.value, Config) == "judge_least is now called min_judge_accuracy: rename it"
