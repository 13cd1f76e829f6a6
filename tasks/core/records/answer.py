"""The record of one served answer: what was asked and answered, by which model, index and prompt, at what cost.

The gateway fills it in, the recorder redacts and writes it, and feedback, review and monitoring read it. What was not
measured is None, never 0.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

Status = Literal["ok", "error", "timeout", "cancelled"]


class AnswerRecord(BaseModel):
    """One answer of one model; a request that a shadow answers too has two."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=(), ser_json_inf_nan="strings"
    )

    answer_id: str
    """Unique identifier of the answer."""
    at: str
    """ISO 8601 time at which the answer was complete."""
    model: str
    """Digest of the model version, or 'base'."""
    arm: str
    """The model's part in the rollout: champion, candidate, shadow."""
    prompt_digest: str
    """Digest of the prompt template."""
    index_version: str | None
    """Version of the index searched; None: nothing was searched."""
    engine: str
    """What computed it."""
    parameters: dict[str, JsonValue]
    """Sampling parameters of the request."""
    messages: list[dict[str, str]]
    """The conversation as it was asked, oldest first."""
    answer: str
    document_ids: list[str]
    """Documents whose passages were in the context, best first."""
    retrieval_scores: list[float]
    """Score of each passage, best first."""
    abstained: bool | None
    """The answer says that the context does not hold it."""
    ungrounded: list[str] | None
    """SourceTerms of the answer that neither context nor question holds; None: not screened."""
    status: Status
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    ttft_s: float | None
    """Seconds to the first token."""
    seconds: float | None
    """Seconds to the last token."""
    cpu_s: float | None
    """Processor seconds spent on it."""
    key_id: str | None
    """Identifier of the API key, never the key."""
    cached: bool
    """The answer came from the response cache."""
    shadow_of: str | None
    """Id of the shown answer that this unseen one is compared with."""
    bucket: int | None = None
    """Which ten-thousandth of the users asked, while a rollout splits them; names nobody."""
