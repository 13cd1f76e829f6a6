"""Which models are asked, from what they answer, and which are refused."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from tasks.adapters.inference.batch_types import Answer
from tasks.adapters.models.base_model import EMBEDDED
from tasks.core.chat import prompt
from tasks.core.chat.prompt import ABSTENTION
from tasks.core.errors import DataError, ExternalError
from tests.tasks.finetune.conftest import EvaluateStage, right, write_model


def test_a_model_that_answered_the_same_prompts_before_is_not_asked_again(stage: EvaluateStage) -> None:
    stage.run()
    stage.run()
    assert stage.calls == ["candidate", "base"]
    write_model(stage.train, seed=2)
    stage.run()
    assert len(stage.calls) == 3
    stage.run(items=14)
    assert len(stage.calls) == 5


def test_failed_answers_are_no_measurements_and_are_tried_anew(stage: EvaluateStage) -> None:
    stage.say = lambda model, text: Answer("", 50, 0, "timeout", 9.0) if "alpha.load?" in text else right(model, text)
    stage.run()
    rows = stage.rows().filter((pl.col("status") == "timeout") & (pl.col("model") == "candidate"))
    assert rows["item_id"].to_list() == ["c0", "w0"]
    assert rows["score"].null_count() == rows["hallucinated"].null_count() == 2
    assert stage.summary()["candidate"]["coverage"] == pytest.approx(13 / 15, abs=1e-6)
    stage.run()
    assert len(stage.calls) == 4


def test_an_engine_that_answers_nothing_is_an_external_error(stage: EvaluateStage) -> None:
    stage.say = lambda model, text: Answer("", 0, 0, "error")
    with pytest.raises(ExternalError, match="answered none of 115 prompts for the candidate"):
        stage.run()


def test_a_candidate_that_says_nothing_is_not_the_engine_s_fault_and_stays_unmeasured(stage: EvaluateStage) -> None:
    stage.say = lambda model, text: Answer("", 50, 0, "empty") if model == "candidate" else right(model, text)
    stage.run()
    assert stage.summary()["candidate"]["coverage"] == 0
    assert stage.rows().filter(pl.col("model") == "candidate")["score"].null_count() == 15


def test_the_champion_answers_too_and_one_that_equals_the_candidate_is_not_asked_twice(stage: EvaluateStage) -> None:
    stage.say = right
    stage.crown(seed=3)
    assert stage.run().models == ["candidate", "champion", "base"]
    assert sorted(stage.calls) == ["base", "candidate", "champion"]
    stage.crown(seed=1)
    shutil.rmtree(stage.settings.home)
    stage.calls.clear()
    report = stage.run()
    assert sorted(stage.calls) == ["base", "candidate"]
    assert report.score["champion"] == report.score["candidate"] == 1.0


def test_the_champion_answers_from_its_own_documents(stage: EvaluateStage, older_index: Path) -> None:
    stage.say = lambda model, text: right("candidate", text)  # both read what they are shown, and decline without it
    stage.crown(seed=3, index=older_index)
    report = stage.run()
    assert report.score == {"candidate": 1.0, "champion": pytest.approx(10 / 15), "base": 1.0}
    assert report.hallucination_rate["champion"] == 0
    rows = stage.rows().filter((pl.col("model") == "champion") & (pl.col("item_id") == "c7"))
    assert rows.select("reference", "answer", "answerable").row(0) == ("17", ABSTENTION, True)
    assert not any("d7" in found for found in rows["retrieved_ids"].item())
    compared = stage.summary()["compared"]
    assert compared["indexes"]["candidate"] == compared["indexes"]["base"] != compared["indexes"]["champion"]
    assert stage.summary()["retrieval"]["holds_answer"] == 1.0


def test_the_same_adapter_with_new_documents_is_another_model(stage: EvaluateStage, older_index: Path) -> None:
    stage.say = right
    stage.crown(seed=1, index=older_index)
    report = stage.run()
    assert report.score["champion"] == pytest.approx(10 / 15)
    assert report.score["candidate"] == 1.0


def test_a_champion_without_its_index_is_fetched_again(stage: EvaluateStage) -> None:
    stage.crown(seed=3)
    shutil.rmtree(stage.fetch / "index")
    with pytest.raises(DataError, match=r"fetch/index is no whole index .*run the stage that wrote it again"):
        stage.run()


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        ({"digest": "e" * 64, "passages": 3}, "names the prompt eeeeeeeeeeee, this release renders"),
        ({"passages": 3}, "names the prompt None"),
        ({"digest": prompt.digest()}, "does not say how many passages"),
        ({"digest": prompt.digest(), "passages": 0}, "does not say how many passages"),
    ],
)
def test_an_adapter_that_was_trained_on_another_prompt_is_refused(
    stage: EvaluateStage, notes: dict[str, object], message: str
) -> None:
    (stage.train / "prompt.json").write_text(json.dumps(notes))
    with pytest.raises(DataError, match=message):
        stage.run()


def test_a_champion_of_another_prompt_and_another_base_are_refused(stage: EvaluateStage) -> None:
    stage.crown(seed=3)
    (stage.fetch / "prompt.json").write_text('{"digest": "old"}')
    with pytest.raises(DataError, match=r"fetch/prompt.json names the prompt old"):
        stage.run()
    (stage.train / "report.json").write_text(json.dumps({"base_model": EMBEDDED, "base_digest": "other"}))
    with pytest.raises(DataError, match="trained on another version of 'smollm2-135m-instruct'"):
        stage.run()


def test_a_damaged_note_is_one_sentence(stage: EvaluateStage) -> None:
    for content in ("{", "[]"):
        (stage.train / "prompt.json").write_text(content)
        with pytest.raises(DataError, match=r"prompt.json .*: run its stage again"):
            stage.run()
