"""The OpenVINO pipeline of both engines: opening it, its tokenizer, and a time limit on a step that hangs.

`batch_openvino` evaluates and `stream_openvino` serves with the same pipeline, precision, tokenizer and end token: what
serves is what was measured. Prompts are tokenised by the model's own tokenizer, as in training: the one that
OpenVINO derives from the GGUF file cuts about one prompt in a hundred differently. Caveat: OpenVINO ignores LoRA
adapters of GGUF models without an error, so only merged weights will do.
"""

import faulthandler
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from tasks.adapters.inference.batch_types import EngineSpec
from tasks.core.errors import DataError

if TYPE_CHECKING:
    from openvino_genai import ContinuousBatchingPipeline
    from tokenizers import Tokenizer

STANDARD_ERROR = 2  # the descriptor: sys.stderr may be anything
MAX_STEP_S = 300.0  # a step takes a second or two of processor time
MAX_BATCHED_TOKENS = 512  # of one step; more was no faster


def openvino_modules() -> tuple[ModuleType, ModuleType]:
    """Import OpenVINO as if its telemetry package were missing: with it, every import is reported to its maker."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino
    import openvino_genai

    return openvino, openvino_genai


def has_bf16() -> bool:
    """Return whether the processor multiplies bfloat16 matrices itself."""
    openvino, _ = openvino_modules()

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def open_pipeline(spec: EngineSpec) -> "ContinuousBatchingPipeline":
    """Return a pipeline with the model loaded, as evaluation and serving both use it."""
    _, openvino_genai = openvino_modules()

    scheduler = openvino_genai.SchedulerConfig()
    scheduler.cache_size = spec.cache_gb
    scheduler.max_num_seqs = spec.concurrency
    scheduler.max_num_batched_tokens = MAX_BATCHED_TOKENS
    scheduler.dynamic_split_fuse = True
    scheduler.enable_prefix_caching = True
    properties: dict[str, object] = {
        "INFERENCE_NUM_THREADS": spec.threads,
        "INFERENCE_PRECISION_HINT": spec.precision,
        "ENABLE_CPU_PINNING": False,  # else every process sits on the same first core
    }
    if spec.precision == "f32":
        properties["KV_CACHE_PRECISION"] = "f16"
    return openvino_genai.ContinuousBatchingPipeline(str(spec.weights), scheduler, "CPU", properties)


def load_fast_tokenizer(folder: Path) -> tuple["Tokenizer", int]:
    """Return the fast tokenizer alone, without the seconds that importing transformers takes, and its end token."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    end = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))["eos_token"]
    token = end if isinstance(end, str) else end["content"]
    number = tokenizer.token_to_id(token)
    if number is None:
        raise DataError(
            f"The tokenizer in {folder} does not know its own end token {token!r}: convert the model again."
        )
    return tokenizer, number


@contextmanager
def exit_on_hang(seconds: float) -> Iterator[None]:
    """End this process when the block takes longer than `seconds`: no Python code runs while the library hangs."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=STANDARD_ERROR)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]
