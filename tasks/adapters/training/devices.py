"""Choose what this machine trains on: GPUs or the processor, and the dtype and attention that are fast there."""

from typing import Literal


def num_gpus() -> int:
    """Return how many GPUs torch can use; 0: training runs on the processor."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def fit_dtype(wanted: str, *, on_gpu: bool) -> Literal["float32", "bfloat16"]:
    """Return the type of the base weights; `auto` is bfloat16 where it is native, else it is 9 times slower."""
    import torch

    if wanted != "auto":
        return "bfloat16" if wanted == "bfloat16" else "float32"
    if on_gpu:
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    known = torch.cpu.get_capabilities()
    return "bfloat16" if known.get("avx512_bf16") or known.get("amx_bf16") else "float32"


def fit_attention(dtype: str, *, on_gpu: bool) -> str:
    """Return the attention implementation: `eager` is a third faster in bfloat16 on CPU with short packs, else `sdpa`.

    In float32 on CPU both take the same time and `sdpa` saves some gigabytes.
    """
    return "eager" if dtype == "bfloat16" and not on_gpu else "sdpa"
