import os
from pathlib import Path

import pytest

from tasks.adapters.models import gguf_export
from tasks.adapters.models.base_model import BaseModel, resolve
from tasks.adapters.models.gguf_export import adapter_digest, merged_folder, merged_gguf
from tasks.core.errors import ConfigError, DataError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

F16_TOLERANCE = 2e-2  # weights around 0.2 rounded to 11 bits, over two layers


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    """A tiny llama with grouped queries, and a GGUF file that holds the metadata it would have come with."""
    import gguf
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.2,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
    )
    folder = tmp_path_factory.mktemp("base")
    LlamaForCausalLM(config).save_pretrained(folder)
    source = tmp_path_factory.mktemp("source") / "tiny.gguf"
    writer = gguf.GGUFWriter(source, "llama")
    writer.add_block_count(2)
    writer.add_context_length(64)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(16)
    writer.add_vocab_size(32)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"t{i}" for i in range(32)])
    writer.add_token_merges(["t 1"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return BaseModel("tiny", folder, resolve(str(folder), folder.parent / "cache").digest, source)


@pytest.fixture(scope="module")
def adapter(base: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_adapter(base, tmp_path_factory.mktemp("adapter"), seed=1)


def make_adapter(base: BaseModel, folder: Path, seed: int) -> Path:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    lora = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base.folder), lora)
    for name, tensor in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(tensor, std=0.1)
    model.save_pretrained(folder)
    return folder


def logits(model: object) -> object:
    with torch.no_grad():
        return model.eval()(torch.arange(3, 30)[None]).logits  # type: ignore[attr-defined]


def tuned_logits(base: BaseModel, adapter: Path) -> object:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    return logits(PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base.folder), str(adapter)))


def test_the_merged_file_answers_as_base_and_adapter_do(base: BaseModel, adapter: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    file = merged_gguf(base, adapter, tmp_path)
    read = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    tuned, plain = tuned_logits(base, adapter), logits(AutoModelForCausalLM.from_pretrained(base.folder))
    assert (logits(read) - tuned).abs().max() < F16_TOLERANCE  # type: ignore[operator]
    assert (plain - tuned).abs().max() > 10 * F16_TOLERANCE  # type: ignore[operator]


def test_the_merged_folder_answers_as_base_and_adapter_do(base: BaseModel, adapter: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    read = AutoModelForCausalLM.from_pretrained(merged_folder(base, adapter, tmp_path))
    assert (logits(read) - tuned_logits(base, adapter)).abs().max() < 1e-4  # type: ignore[operator]
    assert merged_folder(base, None, tmp_path) == base.folder


def test_a_file_is_made_once(base: BaseModel, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = merged_gguf(base, adapter, tmp_path)
    monkeypatch.setattr(gguf_export, "_write", lambda *_: pytest.fail("written again"))
    assert merged_gguf(base, adapter, tmp_path) == first


def test_the_same_model_gives_the_same_bytes(base: BaseModel, adapter: Path, tmp_path: Path) -> None:
    one, two = merged_gguf(base, adapter, tmp_path / "1"), merged_gguf(base, adapter, tmp_path / "2")
    assert one.name == two.name
    assert one.read_bytes() == two.read_bytes()


def test_only_old_files_beyond_the_last_four_are_deleted(base: BaseModel, tmp_path: Path) -> None:
    folder = tmp_path / "gguf"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.gguf").touch()
        os.utime(folder / f"{number}.gguf", (number, number))
    merged_gguf(base, None, tmp_path)
    assert sorted(file.stem for file in folder.glob("*.gguf"))[:3] == ["3", "4", "5"]
    assert len(list(folder.glob("*.gguf"))) == gguf_export.MAX_CACHED_FILES


def test_an_adapter_of_another_model_is_refused(base: BaseModel, adapter: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(adapter / "adapter_model.safetensors")
    strange = {name.replace("layers.1", "layers.7"): tensor for name, tensor in tensors.items()}
    (tmp_path / "adapter_config.json").write_text((adapter / "adapter_config.json").read_text())
    save_file(strange, tmp_path / "adapter_model.safetensors")
    with pytest.raises(DataError, match=r"layers\.7"):
        merged_gguf(base, tmp_path, tmp_path)


def test_a_base_without_gguf_source_is_refused(base: BaseModel, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="transformers engine"):
        merged_gguf(BaseModel("other", base.folder, base.digest), None, tmp_path)


def test_the_digest_of_an_adapter_follows_its_tensors_and_its_shape(
    base: BaseModel, adapter: Path, tmp_path: Path
) -> None:
    other = make_adapter(base, tmp_path, seed=2)
    assert adapter_digest(other) != adapter_digest(adapter)
    (other / "adapter_model.safetensors").write_bytes((adapter / "adapter_model.safetensors").read_bytes())
    (other / "adapter_config.json").write_bytes((adapter / "adapter_config.json").read_bytes())
    (other / "README.md").write_text("not part of it")
    assert adapter_digest(other) == adapter_digest(adapter)
