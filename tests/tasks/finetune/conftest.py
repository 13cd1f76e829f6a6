"""The evaluate stage in a checkout of its own, with a fake engine in the place of its processes."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tasks.adapters.evaluation import evaluated_models, predictions
from tasks.adapters.evaluation.evaluated_models import EvaluatedModel
from tasks.adapters.inference.batch_types import Answer, EngineSpec, OnAnswer
from tasks.adapters.models.base_model import EMBEDDED, resolve
from tasks.adapters.models.gguf_export import adapter_digest
from tasks.adapters.retrieval import index
from tasks.adapters.retrieval.embedder import Embedder, load_embedder
from tasks.adapters.storage.tables import CONVERSATION_SCHEMA, DOCUMENT_SCHEMA, frame_of, table_writer
from tasks.core.chat import prompt
from tasks.core.chat.prompt import ABSTENTION
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


class EvaluateStage:
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
) -> EvaluateStage:
    """The stage with a fake engine in the place of its processes; test_batch_openvino.py tests the real one."""
    (tmp_path / "checkout").mkdir()
    made = EvaluateStage(tmp_path / "checkout", curated, settings)

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

    def merged_weights(model: EvaluatedModel, engine: str, cache: Path) -> Path:
        digest = adapter_digest(model.adapter) if model.adapter else "base"
        return Path(names.get(digest, "champion" if model.adapter else "base"))

    monkeypatch.setattr(predictions, "EngineProcesses", FakeProcesses)
    monkeypatch.setattr(evaluated_models, "merged_weights", merged_weights)
    monkeypatch.setattr(index, "load_embedder", lambda *_: embedder)
    monkeypatch.chdir(repository)  # where configs/ lies
    return made


@pytest.fixture
def older_index(curated: Path, tmp_path: Path, embedder: Embedder) -> Path:
    """The index of a champion that knows half of the documents."""
    shutil.copytree(curated / "split", tmp_path / "older" / "split")
    return write_index(tmp_path / "older", tmp_path / "older" / "split", range(5), embedder)


def right(model: str, text: str) -> Answer:
    """The candidate reads the default from the context, or says that it is not there; the others say 7."""
    question = text[text.rfind("Question:") :]
    name = next((name for name in NAMES if f"{name}.load?" in question), None)
    known = name is not None and f"{name}.load(path, limit={NAMES.index(name) + 10})" in text
    said = str(NAMES.index(name or "") + 10) if known else ABSTENTION
    return Answer(said if model == "candidate" else "It is 7.", 100, 3, "ok", 0.5)
