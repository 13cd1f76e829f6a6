"""The gateway's configuration: reads `configs/serve.yaml`. DVC does not track it, since the gateway is not a stage."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, ValidationError

from tasks.core.errors import ConfigError
from tasks.core.stage import StageConfig, fault_of
from tasks.runner import read_yaml

CONFIG_FILE = Path("configs/serve.yaml")


class ServeConfig(StageConfig):
    """Values of `ratchet serve`; where it listens and which upstream it asks are settings of the machine."""

    RENAMED: ClassVar[dict[str, str]] = {
        "most_tokens": "max_answer_tokens",
        "probe_s": "golden_check_s",
        "probe_least": "min_golden_share",
        "probe_tokens": "golden_check_tokens",
    }

    engine: Literal["auto", "openvino", "upstream"] = "auto"
    """What answers; auto: the upstream where RATCHET_UPSTREAM_URL names one, else openvino."""
    precision: Literal["auto", "f32", "bf16"] = "auto"
    """Of the embedded engine, as in `evaluate`; auto: bf16 where the processor multiplies it natively, else f32."""
    answer_tokens: int = Field(128, ge=1)
    """Longest answer where a request names no limit."""
    max_answer_tokens: int = Field(512, ge=1)
    """Longest answer a request may ask for."""
    base_model: str = "smollm2-135m-instruct"
    """What answers while there is no champion: as `base_model` of finetune.train."""
    base_passages: int = Field(3, ge=1)
    """Passages the base model is shown while there is no champion; a version knows its own number."""
    concurrency: int = Field(32, ge=1)
    """Answers computed at once."""
    queue: int = Field(64, ge=0)
    """Requests that may wait; any further one is refused with 429."""
    timeout_s: float = Field(120.0, gt=0)
    """Time limit of one request, from its arrival to its last token."""
    drain_s: float = Field(30.0, ge=0)
    """How long running answers may take to end when the gateway is asked to stop."""
    request_bytes: int = Field(262_144, ge=1024)
    """Largest body of a request."""
    cache_gb: int = Field(1, ge=1)
    """The embedded engine's memory for the keys and values of its requests."""
    cache_entries: int = Field(0, ge=0)
    """Size of the answer cache; 0 turns it off."""
    follow_s: float = Field(1.0, gt=0)
    """Interval at which the store is asked which version is to serve."""
    keep_warm_s: float = Field(1800.0, ge=0)
    """How long the version that served before stays loaded, so that a rollback takes effect at once."""
    golden_check_s: float = Field(60.0, gt=0)
    """How long a new version may take to answer its golden questions before it serves."""
    min_golden_share: float = Field(0.5, ge=0, le=1)
    """Smallest share of them whose answer must contain what it should."""
    golden_check_tokens: int = Field(64, ge=1)
    """Longest answer to one of them."""
    shadows: int = Field(4, ge=1)
    """Shadow answers of a candidate that are computed at once; more are left out."""


def load_config(path: Path = CONFIG_FILE) -> ServeConfig:
    """Return the class defaults overlaid by the file. Raises ConfigError that names the field."""
    try:
        return ServeConfig.model_validate(read_yaml(path))
    except ValidationError as error:
        fault = fault_of(error, ServeConfig)
        step = "" if fault.endswith("rename it") else "; correct it"
        raise ConfigError(f"{path} {fault}{step}.") from None
