"""The stage as a whole, with a tiny model and the real retriever; and what it refuses."""

import json
from pathlib import Path

import polars as pl
import pytest

from tasks.adapters.models.gguf_export import adapter_digest
from tasks.adapters.retrieval.index import Retriever
from tasks.adapters.storage.tables import CONVERSATION_SCHEMA, DOCUMENT_SCHEMA, frame_of, table_writer
from tasks.adapters.training import launcher
from tasks.adapters.training.training_set import TrainingSet, TrainingSetSpec, read_training_set
from tasks.core.chat import prompt
from tasks.core.errors import ConfigError, DataError
from tasks.core.records.schema import Conversation, Document, Message
from tasks.curate import index as index_stage
from tasks.finetune import train
from tasks.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

SIDES = ("train", "train", "train", "eval")
NUM_DOCUMENTS = 24


def document(number: int) -> Document:
    return Document(
        id=f"d{number:02}",
        family=f"f{number // 4}",
        title=f"tool_{number}",
        text=f"tool_{number}(size={number}) Cut {number} boards with the blade of kind {number}.",
        source="test",
        uri=f"tool_{number}",
        licence="MIT",
        seen_at="2026-01-01T00:00:00Z",
    )


def conversation(number: int, *, answerable: bool) -> Conversation:
    asked = document(number)
    answer = f"{number}" if answerable else prompt.ABSTENTION
    kind = "default" if answerable else "withheld"
    return Conversation(
        id=f"c{number:02}{kind}",
        family=asked.family,
        messages=[
            Message(role="user", content=f"What is the default of size in {asked.title}?"),
            Message(role="assistant", content=answer),
        ],
        document_ids=[asked.id],
        evidence=f"size={number}",
        answerable=answerable,
        withhold=not answerable,
        kind=kind,
        phrasing="p",
        held_out=False,
        source="test",
        uri="",
        licence="MIT",
        seen_at="",
    )


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("split")
    documents = frame_of([document(i) for i in range(NUM_DOCUMENTS)], DOCUMENT_SCHEMA)
    sides = pl.Series("side", [SIDES[i // 4 % len(SIDES)] for i in range(NUM_DOCUMENTS)])
    documents.with_columns(sides).write_parquet(folder / "documents.parquet")
    trained = [i for i in range(NUM_DOCUMENTS) if sides[i] == "train"]
    write_conversations(folder, [conversation(i, answerable=a) for i in trained for a in (True, False)])
    return folder


def write_conversations(folder: Path, conversations: list[Conversation]) -> None:
    for side in ("train", "eval"):
        with table_writer(folder / f"{side}.parquet", CONVERSATION_SCHEMA) as writer:
            writer.write(frame_of(conversations if side == "train" else [], CONVERSATION_SCHEMA))


@pytest.fixture(scope="module")
def index(split: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out, home = tmp_path_factory.mktemp("index"), tmp_path_factory.mktemp("home")
    index_stage.run(index_stage.Config(check_questions=0), split, out, settings=Settings(home=home, threads=1))
    return out


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("model")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([document(i).text for i in range(NUM_DOCUMENTS)], trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", data=tmp_path / "data", model_cache=tmp_path / "cache", threads=2)


@pytest.fixture
def config(model: Path, tmp_path: Path) -> train.Config:
    replay = tmp_path / "replay.jsonl"
    replay.write_text(
        "".join(json.dumps({"id": f"r{i}", "question": f"{i}?", "answer": "Yes."}) + "\n" for i in range(3))
    )
    return train.Config(
        base_model=str(model), max_examples=20, replay_file=replay, replay=0.1, learning_rate=0.01, pack_tokens=900
    )


def outputs(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.slow
def test_the_stage_leaves_an_adapter_and_the_same_bytes_when_it_runs_again(
    config: train.Config, split: Path, index: Path, settings: Settings, tmp_path: Path
) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    for out in (first, second):
        out.mkdir()
    report = train.run(config, split, index, first, settings=settings)
    again = train.run(config, split, index, second, settings=settings)
    assert report == again
    assert outputs(first) == outputs(second)
    assert set(outputs(first)) == {
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
        "dropped.jsonl",
        "loss.json",
        "loss.png",
        "prompt.json",
    }
    assert not list((settings.home / "checkpoints").glob("*/"))
    assert report.adapter_digest == adapter_digest(first / "adapter")
    assert report.examples == 20 + report.examples_by_kind["replay"]
    assert report.tokens_computed < report.tokens
    assert report.prompt_digest == prompt.digest()
    assert json.loads((first / "prompt.json").read_text())["passages"] == config.passages
    assert len(json.loads((first / "loss.json").read_text())) == report.steps
    everything = b"".join(outputs(first).values())
    assert str(tmp_path).encode() not in everything, "a path of this machine"


@pytest.mark.slow
def test_a_killed_stage_finds_its_own_checkpoints_and_no_other_values(
    config: train.Config, split: Path, index: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: list[Path] = []

    def killed(folder: Path, **_: object) -> None:
        folders.append(folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(launcher, "train", killed)
    for changes in ({}, {}, {"seed": 1}, {"learning_rate": 0.02}, {"max_examples": 19}, {"checkpoint_every": 3}):
        with pytest.raises(KeyboardInterrupt):
            train.run(config.model_copy(update=changes), split, index, tmp_path, settings=settings)
    same, other = {folders[0], folders[1], folders[5]}, set(folders[2:5])
    assert len(same) == 1
    assert len(other) == 3
    assert len(list((settings.home / "checkpoints").glob("*/"))) <= train.MAX_KEPT_PLANS


def read(config: train.Config, split: Path, index: Path, model: Path) -> tuple[TrainingSet, list[str]]:
    from tasks.adapters.models.base_model import load_tokenizer

    tokenizer = load_tokenizer(model)
    spec = TrainingSetSpec(**config.model_dump(include=set(TrainingSetSpec.__dataclass_fields__)))
    found = read_training_set(spec, split, Retriever.open(index), tokenizer)
    return found, [tokenizer.decode(example.tokens) for group in found.groups for example in group]


def test_no_document_of_another_side_comes_into_a_context(
    config: train.Config, split: Path, index: Path, model: Path
) -> None:
    _, texts = read(config.model_copy(update={"max_examples": 100}), split, index, model)
    assert any("tool_3(" in text for text in texts)
    assert not [text for text in texts if "tool_12(" in text or "tool_15(" in text]


def test_an_answer_stands_in_its_context_and_an_abstention_has_none(
    config: train.Config, split: Path, index: Path, model: Path
) -> None:
    found, texts = read(config.model_copy(update={"max_examples": 100, "replay": 0.0}), split, index, model)
    assert found.kinds == {"default": 20, "withheld": 20}
    for text in texts:
        number = text.rpartition("tool_")[2].partition("?")[0]
        assert text.endswith("<|im_end|>")
        assert (f"size={number})" in text) == (prompt.ABSTENTION not in text)


def test_an_example_longer_than_a_pack_is_left_out_with_its_reason(
    config: train.Config, split: Path, index: Path, model: Path
) -> None:
    found, _ = read(config.model_copy(update={"pack_tokens": 64}), split, index, model)
    assert len(found.dropped) == 20
    assert "more than pack_tokens=64" in str(found.dropped[0]["reason"])


def test_a_stage_without_an_example_that_fits_says_where_to_look(
    config: train.Config, split: Path, index: Path, settings: Settings, tmp_path: Path
) -> None:
    tight = config.model_copy(update={"pack_tokens": 64, "replay": 0.0})
    with pytest.raises(DataError, match=r"data/train\.failed/dropped\.jsonl"):
        train.run(tight, split, index, tmp_path, settings=settings)
    assert len((tmp_path / "dropped.jsonl").read_text().splitlines()) == 20


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"processes": 3, "packs_per_step": 3}, "processes=3 is more than the 2 threads"),
        ({"packs_per_step": 3}, "packs_per_step=3 is no multiple of processes=2"),
        ({"hostfile": Path("hosts")}, "needs launcher=deepspeed"),
        ({"base_model": "no/such-model"}, "correct base_model"),
        ({"replay_file": Path("nowhere.jsonl")}, "set replay=0"),
    ],
)
def test_a_wrong_value_is_one_sentence(
    changes: dict[str, object],
    sentence: str,
    config: train.Config,
    split: Path,
    index: Path,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConfigError, match=sentence):
        train.run(config.model_copy(update=changes), split, index, tmp_path, settings=settings)


@pytest.mark.parametrize("changes", [{"zero_stage": 4}, {"processes": 0}, {"replay": 1.0}, {"launcher": "mpi"}])
def test_a_value_out_of_range_never_reaches_the_stage(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        train.Config.model_validate(changes)


def test_an_empty_train_side_is_a_data_error(
    config: train.Config, index: Path, settings: Settings, tmp_path: Path
) -> None:
    write_conversations(tmp_path, [])
    with pytest.raises(DataError, match="holds no conversation"):
        train.run(config, tmp_path, index, tmp_path, settings=settings)


def test_general_chat_and_probe_share_no_question() -> None:
    questions = [
        {json.loads(line)["question"] for line in Path(f"configs/finetune/{name}.jsonl").read_text().splitlines()}
        for name in ("replay", "probe")
    ]
    assert min(len(side) for side in questions) >= 100
    assert questions[0].isdisjoint(questions[1])
