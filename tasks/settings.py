"""Where Ratchet runs: addresses, folders and secrets, from the environment (RATCHET_*) alone.

Built once by an entry point and passed in. Nothing here may decide a result: what does is a parameter in configs/.
"""

import os
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

OFFLINE_ENVIRONMENT = {  # no library may phone home or fetch at run time
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "RAGAS_DO_NOT_TRACK": "true",  # must be exactly "true"
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "TOKENIZERS_PARALLELISM": "false",
}


class Settings(BaseSettings):
    """Settings of this machine. `home` holds all that may be deleted: logs, locks, checkpoints, the local store."""

    model_config = SettingsConfigDict(env_prefix="RATCHET_", frozen=True, extra="ignore", use_attribute_docstrings=True)

    home: Path = Path(".ratchet")
    """Work folder of this checkout, never tracked."""
    data: Path = Path("data")
    """Folder of the stages' outputs."""
    store_url: str = ".ratchet/store"
    """Registry and ledger: a folder, or s3://bucket/prefix."""
    records_url: str = ".ratchet/records"
    """Records of served answers: a folder, or s3://bucket/prefix. The current hour's lie in `home`."""
    feedback_url: str = ".ratchet/feedback"
    """What people said about served answers: a folder, or s3://bucket/prefix; `ingest: feedback` reads it."""
    s3_endpoint_url: str | None = None
    """S3 endpoint for sources and store; None means Amazon's."""
    model_cache: Path = Path.home() / ".cache" / "ratchet"
    """Converted base models, shared by all checkouts of this user."""
    judge_base_url: str | None = None
    """OpenAI-compatible endpoint of a judge; without it judge metrics are 'not evaluated'."""
    judge_model: str = "judge"
    judge_api_key: SecretStr = SecretStr("none")
    upstream_url: str | None = None
    """OpenAI-compatible server (vLLM) that computes the gateway's answers; None: this machine does."""
    upstream_model: str = "base"
    """What the upstream calls the base model."""
    upstream_api_key: SecretStr | None = None
    gateway_host: str = "127.0.0.1"
    """Where the gateway listens; any other than loopback needs a key to exist first."""
    gateway_port: int = Field(8080, ge=0, le=65535)
    prefect_port: int = Field(4200, ge=1, le=65535)
    """Where `ratchet up` starts the Prefect server, on loopback."""
    evidently_port: int = Field(8000, ge=1, le=65535)
    """Where `ratchet up` shows Evidently's workspace, on loopback."""
    alert_webhook_url: SecretStr | None = None
    """Where alerts are posted as JSON: drift, a fall of quality, promotions, rollbacks."""
    pseudonym_key: SecretStr | None = None
    """Key of the pseudonyms; None: one made at first use and kept in `home`, so pseudonyms differ between checkouts."""
    threads: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    """Compute threads a stage may use in all."""


def go_offline() -> None:
    """Switch off every library's network access and telemetry, unless the environment already says otherwise."""
    for name, value in OFFLINE_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
