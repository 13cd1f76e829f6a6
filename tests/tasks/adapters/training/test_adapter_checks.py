import json
from pathlib import Path

import pytest

from tasks.adapters.training.adapter_checks import check_reloaded, completion_logits, normalise_adapter, refuse_invalid
from tasks.adapters.training.lora import batch_of, lora_model
from tasks.adapters.training.training_plan import LoraShape, TrainingPlan
from tasks.core.errors import DataError, RatchetError
from tasks.core.training.packing import TokenisedExample, grow_trees, pack_trees

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> TrainingPlan:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.2,
    )
    folder = tmp_path_factory.mktemp("base")
    LlamaForCausalLM(config).save_pretrained(folder)
    return TrainingPlan(
        base_id="tiny",
        base_digest="",
        prompt_digest="",
        lora=LoraShape(r=4, alpha=8, dropout=0.0, target_modules="all-linear"),
        learning_rate=1e-3,
        warmup=0.1,
        weight_decay=0.0,
        packs_per_step=1,
        epochs=1,
        seed=0,
        processes=1,
        zero_stage=0,
        dtype="float32",
        attention="sdpa",
        base_folder=folder,
        checkpoint_every=1,
        threads=1,
        on_gpu=False,
    )


def trained(plan: TrainingPlan) -> object:
    model = lora_model(plan)
    for name, tensor in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(tensor, std=0.1)
    return model


def saved(plan: TrainingPlan, folder: Path) -> tuple[Path, dict[str, object], object]:
    model = trained(plan)
    model.save_pretrained(folder)  # type: ignore[attr-defined]
    normalise_adapter(folder, "tiny")
    example = TokenisedExample("e", tuple(range(3, 20)), 9)
    (pack,) = pack_trees(grow_trees([example], 32), 32)
    batch = batch_of(pack, 1, 1, torch.float32)
    return folder, batch, completion_logits(model, batch)


def test_an_adapter_that_was_saved_as_trained_passes(plan: TrainingPlan, tmp_path: Path) -> None:
    folder, batch, expected = saved(plan, tmp_path)
    assert check_reloaded(folder, plan, batch, expected) < 1e-4


def test_an_adapter_with_another_scale_than_trained_is_refused(plan: TrainingPlan, tmp_path: Path) -> None:
    folder, batch, expected = saved(plan, tmp_path)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": 16}))
    with pytest.raises(RatchetError, match="not saved as it was trained"):
        check_reloaded(folder, plan, batch, expected)


def test_an_adapter_without_a_tensor_is_refused(plan: TrainingPlan, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder, batch, expected = saved(plan, tmp_path)
    tensors = load_file(folder / "adapter_model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if "layers.1.mlp" not in name}
    save_file(kept, folder / "adapter_model.safetensors")
    with pytest.warns(UserWarning, match="missing adapter keys"), pytest.raises(RatchetError, match="not saved"):
        check_reloaded(folder, plan, batch, expected)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda tensors: tensors["m.lora_B.weight"].zero_(), "is empty"),
        (lambda tensors: tensors["m.lora_B.weight"].fill_(float("nan")), "no numbers in m.lora_B"),
        (lambda tensors: tensors["m.lora_A.weight"].fill_(float("inf")), "no numbers in m.lora_A"),
        (lambda tensors: tensors.pop("m.lora_B.weight"), "it holds no update"),
    ],
)
def test_a_broken_adapter_is_refused(change: object, sentence: str) -> None:
    tensors = {"m.lora_A.weight": torch.ones(2, 3), "m.lora_B.weight": torch.ones(3, 2)}
    refuse_invalid(tensors)
    change(tensors)  # type: ignore[operator]
    with pytest.raises(DataError, match=sentence):
        refuse_invalid(tensors)


def test_a_normalised_adapter_names_no_folder_and_has_a_fixed_order(plan: TrainingPlan, tmp_path: Path) -> None:
    folder, _, _ = saved(plan, tmp_path)
    assert sorted(file.name for file in folder.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    text = (folder / "adapter_config.json").read_text()
    config = json.loads(text)
    assert config["base_model_name_or_path"] == "tiny"
    assert config["target_modules"] == sorted(config["target_modules"])
    assert str(plan.base_folder) not in text
