"""Merge an adapter into its base model, as one F16 GGUF file for the serving engine (gguf, safetensors).

The weights are W + (alpha / r) B A, computed in float32 and rounded once; a base without adapter goes the same way, so
that all models under comparison have the same precision. Metadata and tokenizer are copied from the base's own GGUF.
Llama models only: rotary dimensions are interleaved there and in halves in Hugging Face's files, so the rows of the
query and key projections are permuted (llama.cpp, convert_hf_to_gguf.py, LlamaModel.permute).
Caveat: a base that did not come from a GGUF file has no metadata to copy; `merged_folder` serves those.
"""

import json
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.adapters.models.base_model import BaseModel, content_digest
from tasks.adapters.storage.files import exclusive
from tasks.core.errors import ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

logger = logging.getLogger(__name__)

EXPORT_VERSION = 1  # raise it when the same model would give another file
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
MAX_CACHED_FILES = 4  # base, champion, candidate, and one to go back to
MIN_AGE_S = 600.0  # another process may be about to open a file that is younger
TYPE_OF_FILE_F16 = 1  # llama.cpp, enum llama_ftype: LLAMA_FTYPE_MOSTLY_F16
SKIPPED_KEYS = ("general.architecture", "general.file_type", "general.quantization_version")


def adapter_digest(adapter: Path) -> str:
    """Return the digest that identifies a trained adapter: of its tensors and its LoRA configuration."""
    return content_digest(adapter, ADAPTER_FILES)


def merged_gguf(base: BaseModel, adapter: Path | None, cache: Path) -> Path:
    """Return the F16 GGUF of `base` with `adapter` merged in, made once per digest; old ones are pruned.

    Raises ConfigError for a base that did not come from a GGUF file, DataError for an adapter that does not fit it.
    """
    if base.gguf is None:
        raise ConfigError(f"Base model {base.id!r} has no GGUF source: serve it with the transformers engine.")
    path = cache / "gguf" / f"{_key(base, adapter)}.gguf"
    with exclusive(cache / "gguf" / "lock"):
        if path.exists():
            os.utime(path)
            return path
        part = path.with_name(path.name + ".part")
        _write(base, adapter, part)
        part.replace(path)
        _prune(path.parent)
    return path


def merged_folder(base: BaseModel, adapter: Path | None, cache: Path) -> Path:
    """Return a Hugging Face folder of `base` with `adapter` merged in, for engines that read no GGUF."""
    import shutil

    from safetensors.numpy import save_file

    if adapter is None:
        return base.folder
    folder = cache / "merged" / _key(base, adapter)
    with exclusive(cache / "merged" / "lock"):
        if folder.exists():
            return folder
        part = folder.with_name(folder.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        for file in base.folder.iterdir():
            if file.suffix != ".safetensors" and file.is_file() and not file.name.endswith(".index.json"):
                shutil.copy(file, part)
        save_file(dict(_merged_tensors(base, adapter)), part / "model.safetensors", metadata={"format": "pt"})
        part.rename(folder)
    return folder


def _key(base: BaseModel, adapter: Path | None) -> str:
    return f"{base.digest[:16]}-{adapter_digest(adapter)[:16] if adapter else 'base'}-v{EXPORT_VERSION}"


def _write(base: BaseModel, adapter: Path | None, path: Path) -> None:
    import gguf
    import numpy as np

    config = json.loads((base.folder / "config.json").read_text())
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH.LLAMA])
    assert base.gguf is not None
    _copy_metadata(gguf.GGUFReader(base.gguf), writer)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_file_type(TYPE_OF_FILE_F16)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    for name, tensor in _merged_tensors(base, adapter):
        known = names.get_name(name, try_suffixes=(".weight",))
        if known is None:
            raise ConfigError(f"Base model {base.id!r} holds {name!r}, which no llama GGUF has: use another engine.")
        rotated = _interleave(tensor, _rotary_heads(name, config))
        # norms stay float32, as llama.cpp writes them
        writer.add_tensor(known, rotated if tensor.ndim == 1 else rotated.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _copy_metadata(source: Any, writer: Any) -> None:
    from gguf import GGUFValueType

    for field in source.fields.values():
        if field.name.startswith("GGUF.") or field.name in SKIPPED_KEYS:
            continue
        kind = field.types[0]
        element = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=element)


def _rotary_heads(name: str, config: dict[str, Any]) -> int:
    if name.endswith("q_proj.weight"):
        return int(config["num_attention_heads"])
    return int(config["num_key_value_heads"]) if name.endswith("k_proj.weight") else 0


def _interleave(weight: "Array", heads: int) -> "Array":
    if not heads:
        return weight
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns)


def _merged_tensors(base: BaseModel, adapter: Path | None) -> Iterator[tuple[str, "Array"]]:
    """Yield each tensor of the base by name, in float32, with its LoRA update added."""
    from safetensors import safe_open

    updates = _Updates(adapter)
    for file in sorted(base.folder.glob("*.safetensors")):
        with safe_open(file, "pt") as tensors:  # torch reads bfloat16 too, numpy does not
            for name in sorted(tensors.keys()):
                yield name, updates.add_to(name, tensors.get_tensor(name).float().numpy())
    updates.refuse_unused(base)


class _Updates:
    """The low-rank updates of an adapter, each used once."""

    def __init__(self, adapter: Path | None) -> None:
        self._pairs: dict[str, tuple[Array, Array]] = {}
        if adapter is None:
            return
        from safetensors.torch import load_file

        config = json.loads((adapter / ADAPTER_FILES[0]).read_text())
        self._scale = config["lora_alpha"] / (config["r"] ** 0.5 if config.get("use_rslora") else config["r"])
        tensors = {name: tensor.float().numpy() for name, tensor in load_file(adapter / ADAPTER_FILES[1]).items()}
        for name, tensor in tensors.items():
            if name.endswith(".lora_A.weight"):
                target = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight") + ".weight"
                self._pairs[target] = (tensor, tensors[name.replace(".lora_A.", ".lora_B.")])

    def add_to(self, name: str, weight: "Array") -> "Array":
        pair = self._pairs.pop(name, None)
        if pair is None:
            return weight
        import numpy as np

        down, up = pair
        return weight + np.float32(self._scale) * (up @ down)

    def refuse_unused(self, base: BaseModel) -> None:
        if self._pairs:
            raise DataError(
                f"The adapter changes {next(iter(self._pairs))!r}, which base model {base.id!r} lacks: train it again."
            )


def _prune(folder: Path) -> None:
    """Delete all but the files that were used last; one that is open stays readable until it is closed."""
    files = sorted(folder.glob("*.gguf"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files[MAX_CACHED_FILES:]:
        if time.time() - file.stat().st_mtime > MIN_AGE_S:
            file.unlink(missing_ok=True)
            logger.info("deleted %s, unused since four other models", file.name)
