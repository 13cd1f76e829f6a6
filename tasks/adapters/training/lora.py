"""Build the LoRA model, the input tensors of a pack, and the loss over it (transformers, peft).

The adapter's first values follow from the seed. Logits are computed only where a completion token is predicted, since
the output layer is a fifth of a small model. Caveat: a pack with branches gets a dense attention mask; a block-sparse
one could save a few percent at 768 tokens.
"""

from typing import TYPE_CHECKING, Any

from tasks.adapters.training.training_plan import TrainingPlan
from tasks.core.training.packing import Pack, visibility

if TYPE_CHECKING:
    import torch


def lora_model(plan: TrainingPlan) -> Any:
    """Return the base model of the plan with a fresh adapter: the same weights for the same seed."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(
        plan.base_folder, dtype=getattr(torch, plan.dtype), attn_implementation=plan.attention, local_files_only=True
    )
    base.config.use_cache = False
    torch.manual_seed(plan.seed)
    shape = plan.lora
    lora = LoraConfig(
        r=shape.r,
        lora_alpha=shape.alpha,
        lora_dropout=shape.dropout,
        target_modules=shape.target_modules,
        task_type="CAUSAL_LM",
    )
    return get_peft_model(base, lora, autocast_adapter_dtype=False)


def batch_of(pack: Pack, num_targets: int, processes: int, dtype: "torch.dtype") -> dict[str, "torch.Tensor"]:
    """Return a pack as the model's input; `scale` turns the sum of its losses into its part of the step's mean.

    The backend averages over processes, hence their number in `scale`. A pack without branches gets no mask: positions
    that restart separate its examples, and an all-ones mask would join them.
    """
    import torch

    batch = {
        "input_ids": torch.tensor([pack.tokens]),
        "position_ids": torch.tensor([pack.positions]),
        "predictors": torch.tensor(pack.predictors, dtype=torch.long),
        "targets": torch.tensor(pack.targets, dtype=torch.long),
        "scale": torch.tensor(processes / max(1, num_targets)),
    }
    if pack.has_branches:
        seen = torch.from_numpy(visibility(pack))
        hidden = torch.zeros(seen.shape, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min)
        batch["attention_mask"] = hidden[None, None]
    return batch


def pack_loss(model: Any, batch: dict[str, "torch.Tensor"]) -> "torch.Tensor":
    """Return the scaled loss of a batch made by `batch_of`."""
    from torch.nn.functional import cross_entropy

    inputs = dict(batch)
    targets, scale, predictors = inputs.pop("targets"), inputs.pop("scale"), inputs.pop("predictors")
    logits_BTV = model(**inputs, logits_to_keep=predictors, use_cache=False).logits
    return cross_entropy(logits_BTV[0].float(), targets, reduction="sum") * scale
