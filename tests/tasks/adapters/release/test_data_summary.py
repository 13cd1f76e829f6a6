import json

import polars as pl

from tasks.adapters.release.data_summary import cost_facts, data_facts, evaluation_tokens, reports, stage_folders
from tasks.core.release.lineage import SourceFact, TokenCount
from tests.tasks.conftest import Loop


def test_sources_journey_and_drops_are_counted(loop: Loop) -> None:
    folders = stage_folders([loop.settings.data])
    facts = data_facts(folders, [loop.folder("split") / "train.parquet"])
    assert facts.sources == [
        SourceFact(source="files", licence="CC-BY-4.0", documents=40, train_conversations=0, eval_conversations=0),
        SourceFact(source="files", licence="MIT", documents=80, train_conversations=360, eval_conversations=120),
    ]
    assert [(fact.stage, fact.documents, fact.conversations) for fact in facts.journey][-1] == ("split", 120, 480)
    assert {(drop.stage, drop.reason): drop.count for drop in facts.dropped} == {
        ("ingest", "not UTF-8"): 3,
        ("dedup", "near"): 7,
    }
    assert facts.files.keys() == {"split/train.parquet"}


def test_a_profile_s_folder_comes_before_the_tracked_one(loop: Loop) -> None:
    profile = loop.settings.data / "smoke"
    (profile / "split").mkdir(parents=True)
    (profile / "split" / "report.json").write_text("{}")
    folders = stage_folders([profile, loop.settings.data])
    assert folders["split"] == profile / "split"
    assert folders["dedup"] == loop.settings.data / "dedup"
    assert "evaluate" not in folders


def test_reports_are_kept_without_their_texts(loop: Loop) -> None:
    kept = reports(stage_folders([loop.settings.data]))
    assert kept["ingest"] == {"documents": 120, "reasons": {"not UTF-8": 3}}
    assert kept["redact"] == {"documents": 120}
    assert "jane" not in json.dumps(kept)


def test_costs_are_those_the_runner_left(loop: Loop) -> None:
    home = loop.settings.home
    (home / "stages" / "train").mkdir(parents=True)
    (home / "stages" / "train" / "cost.json").write_text('{"wall_s": 1.23456, "cpu_s": 2.0, "peak_bytes": 7}')
    (home / "stages" / "evaluate").mkdir()
    (home / "stages" / "evaluate" / "measurements.json").write_text('{"candidate": {"tokens_per_s": 300}}')
    rows = pl.DataFrame({"model": ["a", "a", "b"], "prompt_tokens": [1, 2, 3], "completion_tokens": [4, 5, None]})
    facts = cost_facts(home, rows)
    assert facts.stages["train"].wall_s == 1.235
    assert facts.measurements == {"candidate": {"tokens_per_s": 300}}
    assert facts.evaluation_tokens == {
        "a": TokenCount(prompt=3, completion=9),
        "b": TokenCount(prompt=3, completion=0),
    }
    assert evaluation_tokens(rows.drop("model")) == {}
