"""Request and response types of OpenAI's chat API; the OpenAPI document is generated from them.

A parameter that would change the answer and is not supported is refused, never ignored. Turns may hold fields of their
own: clients send back what they were given. Beyond OpenAI's fields a message holds `citations` and `abstained`.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tasks.serving.protocol.api_error import ApiError

MAX_TURNS = 200
USER_TURN = {
    "type": "object",
    "required": ["role", "content"],
    "properties": {"role": {"const": "user"}, "content": {"type": "string", "pattern": r"\S"}},
}
MAX_TOKENS = 2**31  # beyond any model: a larger number is cut to max_answer_tokens


def _integral(value: object) -> object:
    """JSON knows one kind of number: 5.0 is an integer there."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Integral = BeforeValidator(_integral)


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class TextPart(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)

    type: Literal["text"]
    text: str


class Turn(BaseModel):
    """One turn of the conversation; the question is the user's last one that is not blank."""

    model_config = ConfigDict(strict=True, frozen=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content or ())


class StreamOptions(_Request):
    include_usage: bool = False
    include_obfuscation: bool = False


class ChatRequest(_Request):
    """A question with its conversation."""

    model: Annotated[str, Field(min_length=1, max_length=200)]
    messages: Annotated[
        list[Turn], Field(min_length=1, max_length=MAX_TURNS, json_schema_extra={"contains": USER_TURN})
    ]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS), Integral] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS), Integral] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**53), Integral] | None = None
    n: Annotated[int, Field(ge=1, le=1), Integral] | None = None
    presence_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    frequency_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None

    @property
    def question(self) -> str:
        """The last turn of the user that says anything."""
        said = (turn.text.strip() for turn in reversed(self.messages) if turn.role == "user")
        return next((text for text in said if text), "")

    @property
    def limit(self) -> int | None:
        """The largest number of tokens of the answer, where the client names one."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens


class Citation(BaseModel):
    """A passage that the model was shown for its answer."""

    document_id: str
    passage_id: str
    title: str
    text: str
    score: float
    """Cosine similarity to the question."""


class Message(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None
    citations: list[Citation]
    abstained: bool


class Choice(BaseModel):
    index: int = 0
    message: Message
    logprobs: None = None
    finish_reason: Literal["stop", "length"]


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatCompletion(BaseModel):
    """An answer. `id` and `system_fingerprint` name the model version that gave it."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[Choice]
    usage: Usage | None
    """None where the engine did not count."""


class Model(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "ratchet"


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


def parse_chat(body: bytes) -> ChatRequest:
    """Return the request. Raises ApiError 400 that names the field and quotes no value."""
    try:
        request = ChatRequest.model_validate_json(body)
    except ValidationError as error:
        raise _refusal(error.errors(include_url=False, include_input=False, include_context=False)[0]) from None
    if not request.question:
        raise ApiError(400, "messages holds no question: add a turn of the role user.", param="messages")
    return request


def _refusal(first: Any) -> ApiError:
    param = ".".join(str(part) for part in first["loc"]) or None
    if first["type"] == "json_invalid":
        return ApiError(400, "The body is no valid JSON.", code="invalid_json")
    if first["type"] == "extra_forbidden":
        return ApiError(400, f"The parameter {param!r} is not supported.", code="unsupported_parameter", param=param)
    message = first["msg"][0].lower() + first["msg"][1:]
    return ApiError(400, f"{param or 'The body'}: {message}.", code="invalid_value", param=param)
