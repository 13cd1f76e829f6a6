"""Check a saved adapter: its values are finite, it changes something, and reloaded it gives the trained logits.

Uses peft and safetensors. The configuration is normalised first: names instead of this machine's paths, lists in a
fixed order, no time. Caveat: the logits are compared on one pack, enough to catch a wrong layout, scale or precision,
not a rare token's weight.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.adapters.models.gguf_export import ADAPTER_FILES
from tasks.adapters.storage.files import write_json
from tasks.adapters.training.training_plan import TrainingPlan
from tasks.core.errors import DataError, RatchetError

if TYPE_CHECKING:
    import torch

LOGIT_TOLERANCE = {
    "float32": 2e-2,  # merged and separate low-rank sums round differently: 1e-3 seen over logits of about 20
    "bfloat16": 1.0,  # eight bits of mantissa: 0.1 a rounding at 20, over thirty layers
}


def normalise_adapter(folder: Path, base_id: str) -> None:
    """Delete all but the adapter's files, and make its configuration the same on every machine."""
    for file in folder.iterdir():
        if file.name not in ADAPTER_FILES:
            file.unlink()
    config = json.loads((folder / ADAPTER_FILES[0]).read_text())
    normalised = {key: sorted(value) if isinstance(value, list) else value for key, value in config.items()}
    write_json(folder / ADAPTER_FILES[0], {**normalised, "base_model_name_or_path": base_id})


def refuse_invalid(tensors: "dict[str, torch.Tensor]") -> None:
    """Raise DataError where a tensor is not finite or the adapter changes nothing."""
    import torch

    for name, tensor in sorted(tensors.items()):
        if not torch.isfinite(tensor).all():
            raise DataError(f"The trained adapter holds values that are no numbers in {name}: lower learning_rate.")
    ups = {name: tensor for name, tensor in tensors.items() if ".lora_B." in name}
    empty = [name for name, tensor in sorted(ups.items()) if not tensor.any()]
    if not ups or empty:
        what = (
            f"{len(empty)} of {len(ups)} updates are zero, the first is {empty[0]}" if empty else "it holds no update"
        )
        raise DataError(f"The trained adapter is empty ({what}): raise learning_rate or give it more examples.")


def completion_logits(model: Any, batch: "dict[str, torch.Tensor]") -> "torch.Tensor":
    """Return the model's logits at the positions of a batch that predict a completion."""
    import torch

    inputs = {key: value for key, value in batch.items() if key not in ("targets", "scale", "predictors")}
    device = next(model.parameters()).device
    model.eval()
    with torch.no_grad():
        placed = {key: value.to(device) for key, value in inputs.items()}
        logits: torch.Tensor = model(**placed, logits_to_keep=batch["predictors"].to(device), use_cache=False).logits
    return logits.float().cpu()


def check_reloaded(
    folder: Path, plan: TrainingPlan, batch: "dict[str, torch.Tensor]", expected: "torch.Tensor"
) -> float:
    """Load the adapter into a fresh model and return the greatest difference to the logits it had when it was saved.

    Raises DataError for a broken adapter and RatchetError where the difference is beyond rounding.
    """
    import torch
    from peft import PeftModel
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    # else stage 3 would load the fresh model in parts, and wait for ranks that do not
    unset_hf_deepspeed_config()  # type: ignore[no-untyped-call]
    refuse_invalid(load_file(folder / ADAPTER_FILES[1]))
    dtype = getattr(torch, plan.dtype)
    base = AutoModelForCausalLM.from_pretrained(
        plan.base_folder, dtype=dtype, attn_implementation=plan.attention, local_files_only=True
    )
    fresh = PeftModel.from_pretrained(base, str(folder), autocast_adapter_dtype=False)
    difference = float((completion_logits(fresh, batch) - expected).abs().max())
    if not difference <= LOGIT_TOLERANCE[plan.dtype]:
        raise RatchetError(
            f"The saved adapter gives logits {difference:.3g} away from the trained model's "
            f"(tolerance {LOGIT_TOLERANCE[plan.dtype]}): it was not saved as it was trained, report this."
        )
    return difference
