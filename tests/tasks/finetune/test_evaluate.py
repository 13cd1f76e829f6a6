import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tasks.adapters.evaluation import compared_models
from tasks.adapters.inference.batch_types import Answer, EngineSpec, OnAnswer
from tasks.adapters.models.base_model import EMBEDDED, resolve
from tasks.adapters.models.gguf_export import adapter_digest
from tasks.adapters.monitoring.traffic_table import read_traffic
from tasks.adapters.retrieval import index
from tasks.adapters.retrieval.embedder import Embedder, load_embedder
from tasks.adapters.storage.tables import CONVERSATION_SCHEMA, DOCUMENT_SCHEMA, frame_of, table_writer
from tasks.core.chat import prompt
from tasks.core.chat.prompt import ABSTENTION
from tasks.core.errors import ConfigError, DataError, ExternalError
from tasks.core.evaluation.measurements import ROW_SCHEMA
from tasks.core.records.schema import Conversation, Document, Message
from tasks.curate import index as index_stage
from tasks.finetune.evaluate import Config, EvaluateReport, run
from tasks.settings import Settings

NAMES = ["alpha", "bravo", "delta", "gamma", "kilo", "lima", "oscar", "sierra", "tango", "zulu"]
SEEN_AT = "2026-01-01T00:00:00+00:00"


def document(number: int) -> Document:
    name = NAMES[number]
    text = f"{name}.load(path, limit={number + 10})\nRead the {name} file at path and return its rows."
    return Document(
        id=f"d{number}", family=name, title=f"{name}.load", text=text,
        source="files", uri=f"{name}.md", licence="MIT", seen_at=SEEN_AT,
    )  # fmt: skip


def conversation(number: int, *, withheld: bool = False) -> Conversation:
    name, limit = NAMES[number], number + 10
    answer = ABSTENTION if withheld else str(limit)
    messages = [
        Message(role="user", content=f"What is the default of limit in {name}.load?"),
        Message(role="assistant", content=answer),
    ]
    return Conversation(
        id=f"{'w' if withheld else 'c'}{number}", family=name, messages=messages, document_ids=[f"d{number}"],
        evidence="" if withheld else f"limit={limit}", answerable=not withheld, withhold=withheld,
        kind="withheld" if withheld else "default", phrasing=f"default-{number % 2}", held_out=number % 2 == 1,
        source="files", uri="u", licence="MIT", seen_at=SEEN_AT,
    )  # fmt: skip


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return load_embedder()


def write_index(root: Path, split: Path, numbers: Sequence[int], embedder: Embedder) -> Path:
    """The index of some documents, which become those of `split`."""
    documents = frame_of([document(n) for n in numbers], DOCUMENT_SCHEMA).with_columns(side=pl.lit("eval"))
    documents.write_parquet(split / "documents.parquet")
    (root / "index").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_stage, "load_embedder", lambda *_: embedder)
        settings = Settings(home=root / "home", data=root)
        index_stage.run(index_stage.Config(check_questions=0), split, root / "index", settings=settings)
    return root / "index"


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory, embedder: Embedder) -> Path:
    """The folders `split` and `index` of ten documents; the holdout is no file that anything could read."""
    root = tmp_path_factory.mktemp("curated")
    (root / "split").mkdir()
    asked = [conversation(n) for n in range(10)] + [conversation(n, withheld=True) for n in range(0, 10, 2)]
    with table_writer(root / "split" / "eval.parquet", CONVERSATION_SCHEMA) as writer:
        writer.write(frame_of(asked, CONVERSATION_SCHEMA))
    (root / "split" / "holdout.parquet").write_bytes(b"never to be opened")
    write_index(root, root / "split", range(10), embedder)
    return root


def write_model(folder: Path, seed: int) -> None:
    """An adapter's files as `train` or `fetch` leaves them; nothing is merged where the engine is a fake."""
    (folder / "adapter").mkdir(parents=True, exist_ok=True)
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(bytes([seed]) * 64)
    (folder / "adapter" / "adapter_config.json").write_text("{}")
    notes = {"version": prompt.VERSION, "digest": prompt.digest(), "passages": 3}
    (folder / "prompt.json").write_text(json.dumps(notes))


class Stage:
    """One checkout in which the stage can run; `say` is what each model answers to a prompt."""

    def __init__(self, root: Path, curated: Path, settings: Settings) -> None:
        self.root, self.settings = root, settings
        self.train, self.fetch, self.split, self.index = (root / n for n in ("train", "fetch", "split", "index"))
        for name in ("split", "index"):
            (root / name).symlink_to(curated / name)
        base = resolve(EMBEDDED, settings.model_cache)
        write_model(self.train, seed=1)
        report = {"base_model": EMBEDDED, "base_digest": base.digest}
        (self.train / "report.json").write_text(json.dumps(report))
        self.fetch.mkdir()
        (self.fetch / "champion.json").write_text('{"digest": null}')
        self.calls: list[str] = []
        self.say: Callable[[str, str], Answer] = lambda model, text: Answer("It is 7.", 50, 4, "ok", 0.1)

    def crown(self, seed: int, index: Path | None = None) -> None:
        """Make a champion of an adapter and, where it is not the newest one, its index."""
        write_model(self.fetch, seed)
        shutil.rmtree(self.fetch / "index", ignore_errors=True)
        shutil.copytree(index or self.index, self.fetch / "index")
        champion = {"digest": "c" * 64, "base": {"id": EMBEDDED, "digest": "-"}}
        (self.fetch / "champion.json").write_text(json.dumps(champion))

    def run(self, **values: Any) -> EvaluateReport:
        self.out = self.root / f"out-{len(list(self.root.glob('out-*')))}"
        self.out.mkdir()
        config = Config.model_validate({"items": 15, **values})
        return run(config, self.train, self.fetch, self.split, self.index, self.out, settings=self.settings)

    def rows(self) -> pl.DataFrame:
        return pl.read_parquet(self.out / "rows.parquet")

    def summary(self) -> dict[str, Any]:
        return dict(json.loads((self.out / "summary.json").read_text()))


@pytest.fixture
def stage(
    tmp_path: Path, curated: Path, embedder: Embedder, settings: Settings, repository: Path, monkeypatch: Any
) -> Stage:
    """The stage with a fake engine in the place of its processes; test_engine_openvino.py tests the real one."""
    (tmp_path / "checkout").mkdir()
    made = Stage(tmp_path / "checkout", curated, settings)

    class FakeProcesses:
        def __init__(self, spec: EngineSpec) -> None:
            self.model = spec.weights.name

        def answer(self, prompts: Sequence[str], limits: Sequence[int], on_done: OnAnswer) -> list[Answer]:
            made.calls.append(self.model)
            answers = [made.say(self.model, text) for text in prompts]
            for place, answer in enumerate(answers):
                on_done(place, answer)
            return answers

    names = {adapter_digest(made.train / "adapter"): "candidate"}

    def weights(model: compared_models.Contender, engine: str, cache: Path) -> Path:
        digest = adapter_digest(model.adapter) if model.adapter else "base"
        return Path(names.get(digest, "champion" if model.adapter else "base"))

    monkeypatch.setattr(compared_models, "EngineProcesses", FakeProcesses)
    monkeypatch.setattr(compared_models, "weights", weights)
    monkeypatch.setattr(index, "load_embedder", lambda *_: embedder)
    monkeypatch.chdir(repository)  # where configs/ lies
    return made


def right(model: str, text: str) -> Answer:
    """The candidate reads the default from the context, or says that it is not there; the others say 7."""
    question = text[text.rfind("Question:") :]
    name = next((name for name in NAMES if f"{name}.load?" in question), None)
    known = name is not None and f"{name}.load(path, limit={NAMES.index(name) + 10})" in text
    said = str(NAMES.index(name or "") + 10) if known else ABSTENTION
    return Answer(said if model == "candidate" else "It is 7.", 100, 3, "ok", 0.5)


def test_rows_of_all_models_say_who_answers_from_the_context(stage: Stage) -> None:
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


def test_the_summary_nests_by_model_and_names_what_was_compared(stage: Stage) -> None:
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


def test_the_folder_is_the_same_bytes_every_time_and_holds_no_times(stage: Stage) -> None:
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


def test_the_candidate_s_answers_are_what_its_traffic_will_be_compared_with(stage: Stage, embedder: Embedder) -> None:
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


def test_a_model_that_answered_the_same_paper_before_is_not_asked_again(stage: Stage) -> None:
    stage.run()
    stage.run()
    assert stage.calls == ["candidate", "base"]
    write_model(stage.train, seed=2)
    stage.run()
    assert len(stage.calls) == 3
    stage.run(items=14)
    assert len(stage.calls) == 5


def test_failed_answers_are_no_measurements_and_are_tried_anew(stage: Stage) -> None:
    stage.say = lambda model, text: Answer("", 50, 0, "timeout", 9.0) if "alpha.load?" in text else right(model, text)
    stage.run()
    rows = stage.rows().filter((pl.col("status") == "timeout") & (pl.col("model") == "candidate"))
    assert rows["item_id"].to_list() == ["c0", "w0"]
    assert rows["score"].null_count() == rows["hallucinated"].null_count() == 2
    assert stage.summary()["candidate"]["coverage"] == pytest.approx(13 / 15, abs=1e-6)
    stage.run()
    assert len(stage.calls) == 4


def test_an_engine_that_answers_nothing_is_an_external_error(stage: Stage) -> None:
    stage.say = lambda model, text: Answer("", 0, 0, "error")
    with pytest.raises(ExternalError, match="answered none of 115 prompts for the candidate"):
        stage.run()


def test_a_candidate_that_says_nothing_is_not_the_engine_s_fault_and_stays_unmeasured(stage: Stage) -> None:
    stage.say = lambda model, text: Answer("", 50, 0, "empty") if model == "candidate" else right(model, text)
    stage.run()
    assert stage.summary()["candidate"]["coverage"] == 0
    assert stage.rows().filter(pl.col("model") == "candidate")["score"].null_count() == 15


def test_the_champion_answers_too_and_one_that_equals_the_candidate_is_not_asked_twice(stage: Stage) -> None:
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


@pytest.fixture
def older_index(curated: Path, tmp_path: Path, embedder: Embedder) -> Path:
    """The index of a champion that knows half of the documents."""
    shutil.copytree(curated / "split", tmp_path / "older" / "split")
    return write_index(tmp_path / "older", tmp_path / "older" / "split", range(5), embedder)


def test_the_champion_answers_from_its_own_documents(stage: Stage, older_index: Path) -> None:
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


def test_the_same_adapter_with_new_documents_is_another_model(stage: Stage, older_index: Path) -> None:
    stage.say = right
    stage.crown(seed=1, index=older_index)
    report = stage.run()
    assert report.score["champion"] == pytest.approx(10 / 15)
    assert report.score["candidate"] == 1.0


def test_a_champion_without_its_index_is_fetched_again(stage: Stage) -> None:
    stage.crown(seed=3)
    shutil.rmtree(stage.fetch / "index")
    with pytest.raises(DataError, match=r"fetch/index is no whole index .*run the stage that wrote it again"):
        stage.run()


def test_the_probe_is_asked_without_context_and_counts_general_knowledge(stage: Stage) -> None:
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


def test_the_holdout_is_not_needed(stage: Stage) -> None:
    kept = (stage.split / "eval.parquet").read_bytes()
    stage.split.unlink()
    stage.split.mkdir()
    (stage.split / "eval.parquet").write_bytes(kept)
    assert stage.run().items == 15


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
    stage: Stage, notes: dict[str, object], message: str
) -> None:
    (stage.train / "prompt.json").write_text(json.dumps(notes))
    with pytest.raises(DataError, match=message):
        stage.run()


def test_a_champion_of_another_prompt_and_another_base_are_refused(stage: Stage) -> None:
    stage.crown(seed=3)
    (stage.fetch / "prompt.json").write_text('{"digest": "old"}')
    with pytest.raises(DataError, match=r"fetch/prompt.json names the prompt old"):
        stage.run()
    (stage.train / "report.json").write_text(json.dumps({"base_model": EMBEDDED, "base_digest": "other"}))
    with pytest.raises(DataError, match="trained on another version of 'smollm2-135m-instruct'"):
        stage.run()


def test_a_damaged_note_is_one_sentence(stage: Stage) -> None:
    for content in ("{", "[]"):
        (stage.train / "prompt.json").write_text(content)
        with pytest.raises(DataError, match=r"prompt.json .*: run its stage again"):
            stage.run()


def test_the_judge_is_read_from_the_environment_and_its_address_checked(stage: Stage) -> None:
    stage.settings = stage.settings.model_copy(update={"judge_base_url": "judge:80"})
    with pytest.raises(ConfigError, match="no http"):
        stage.run()


def test_speeds_of_a_model_without_an_answer_are_zero_not_a_crash() -> None:
    from tasks.finetune.evaluate import _speeds

    sheet = compared_models.Sheet([Answer("", 1, 0, "timeout", 3.0)], [], 3.0)
    assert _speeds({"base": sheet})["base"] == {"p50_s": 0.0, "p95_s": 0.0, "wall_s": 3.0, "tokens_per_s": 0.0}
    assert np.isfinite(_speeds({"base": sheet})["base"]["tokens_per_s"])


@pytest.mark.slow
def test_the_real_engine_answers_the_whole_stage(
    tmp_path: Path, curated: Path, settings: Settings, repository: Path, monkeypatch: Any
) -> None:
    (tmp_path / "checkout").mkdir()
    stage = Stage(tmp_path / "checkout", curated, settings)
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
