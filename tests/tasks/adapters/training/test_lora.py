from pathlib import Path

import pytest

from tasks.adapters.training.lora import batch_of, lora_model, pack_loss
from tasks.adapters.training.training_plan import LoraShape, TrainingPlan
from tasks.core.training.packing import FILLER, Pack, TokenisedExample, grow_trees, pack_trees

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

CONTEXT = tuple(range(10, 30))
EXAMPLES = [
    TokenisedExample("short", (*CONTEXT, 40, 41, 50, 2), 22),
    TokenisedExample("long", (*CONTEXT, 42, 43, 44, 60, 61, 62, 2), 23),
    TokenisedExample("other", (70, 71, 72, 80, 81, 2), 3),
]


@pytest.fixture(scope="module", params=["eager", "sdpa"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> object:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=128,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.2,  # large enough that a wrong mask shows
    )
    folder = tmp_path_factory.mktemp("base")
    LlamaForCausalLM(config).save_pretrained(folder)
    return lora_model(plan(folder, request.param))


def plan(folder: Path, attention: str) -> TrainingPlan:
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
        attention=attention,
        base_folder=folder,
        checkpoint_every=1,
        threads=1,
        on_gpu=False,
    )


def padded_loss(model: object) -> object:
    """The textbook way: one row an example, padded, with a mask and labels, all logits."""
    longest = max(len(example.tokens) for example in EXAMPLES)
    rows = [(e.tokens, longest - len(e.tokens), e.num_prompt) for e in EXAMPLES]
    ids = torch.tensor([[*tokens, *[0] * padding] for tokens, padding, _ in rows])
    mask = torch.tensor([[1] * len(tokens) + [0] * padding for tokens, padding, _ in rows])
    labels = [
        [-100] * num_prompt + list(tokens[num_prompt:]) + [-100] * padding for tokens, padding, num_prompt in rows
    ]
    return model(input_ids=ids, attention_mask=mask, labels=torch.tensor(labels)).loss  # type: ignore[operator]


def packed_loss(model: object, packs: list[Pack]) -> object:
    num_targets = sum(len(pack.targets) for pack in packs)
    return sum(pack_loss(model, batch_of(pack, num_targets, 1, torch.float32)) for pack in packs)


def gradient(model: object, loss: object) -> object:
    model.zero_grad()  # type: ignore[attr-defined]
    loss.backward()  # type: ignore[attr-defined]
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])  # type: ignore[attr-defined]


@pytest.mark.parametrize("shared", [True, False])
def test_packed_loss_and_gradient_are_the_padded_ones(model: object, shared: bool) -> None:
    groups = [EXAMPLES[:2], EXAMPLES[2:]] if shared else [[example] for example in EXAMPLES]
    (pack,) = pack_trees([tree for group in groups for tree in grow_trees(group, 64)], 64)
    assert pack.has_branches == shared
    expected, packed = padded_loss(model), packed_loss(model, [pack])
    assert packed.item() == pytest.approx(expected.item(), abs=1e-5)  # type: ignore[attr-defined]
    assert torch.allclose(gradient(model, packed), gradient(model, padded_loss(model)), atol=1e-5)


def test_several_packs_sum_to_the_mean_over_the_tokens_of_the_step(model: object) -> None:
    packs = pack_trees([tree for example in EXAMPLES for tree in grow_trees([example], 30)], 30)
    assert len(packs) > 1
    assert packed_loss(model, packs).item() == pytest.approx(padded_loss(model).item(), abs=1e-5)  # type: ignore[attr-defined]


def test_a_filler_gives_a_zero_loss_with_a_gradient(model: object) -> None:
    loss = pack_loss(model, batch_of(FILLER, 5, 1, torch.float32))
    loss.backward()
    assert loss.item() == 0


def test_a_pack_with_an_all_ones_mask_would_be_wrong(model: object) -> None:
    """The trap this layout avoids: it proves that the test above can fail."""
    (pack,) = pack_trees([tree for example in EXAMPLES for tree in grow_trees([example], 64)], 64)
    batch = batch_of(pack, len(pack.targets), 1, torch.float32)
    wrong = pack_loss(model, {**batch, "attention_mask": torch.ones_like(batch["input_ids"])})
    assert abs(wrong.item() - padded_loss(model).item()) > 1e-2  # type: ignore[attr-defined]


def test_the_same_seed_gives_the_same_adapter(model: object, tmp_path: Path) -> None:
    folder = Path(model.get_base_model().config._name_or_path)  # type: ignore[attr-defined]
    again = lora_model(plan(folder, "eager"))
    ours = {name: tensor for name, tensor in model.named_parameters() if "lora_A" in name}  # type: ignore[attr-defined]
    assert ours
    assert all(torch.equal(tensor, ours[name]) for name, tensor in again.named_parameters() if name in ours)
