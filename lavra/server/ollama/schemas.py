"""Bodies of Ollama's requests (https://github.com/ollama/ollama/blob/main/docs/api.md)."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from lavra.server.sampling_fields import LlamaSamplingFields
from lavra.server.schemas import Body, NumTopLogprobs, Objects, Stop, Tool, optional

# Ollama's fields without effect here.
IDLE_FIELDS: Final = frozenset({"keep_alive", "think", "width", "height", "steps", "verbose", "insecure"})
# Ollama's options without effect here, with their default values.
IDLE_OPTIONS: Final[dict[str, Any]] = {
    "num_ctx": None, "num_keep": None, "num_batch": None, "num_gpu": None, "main_gpu": None, "num_thread": None,
    "numa": False, "low_vram": False, "f16_kv": None, "logits_all": False, "vocab_only": False, "use_mmap": None,
    "use_mlock": False, "embedding_only": False, "repeat_last_n": None, "tfs_z": 1, "typical_p": 1, "mirostat": 0,
    "mirostat_tau": None, "mirostat_eta": None, "penalize_newline": None, "draft_num_predict": None,
}  # fmt: skip


class ModelOptions(LlamaSamplingFields):
    """The options of writing; undeclared options are kept, so that warnings can name them."""

    model_config = ConfigDict(extra="allow")

    num_predict: Annotated[int, Field(ge=-2, le=2**31 - 1)] | None = optional(
        "most tokens; 0 and less: as many as there is room for"
    )
    stop: Stop = optional("texts that end the answer")


class WritingBody(Body):
    """The fields common to the chat and generate endpoints."""

    stream: bool = Field(default=True, description="send the answer while it is written, an object a line")
    format: Literal["", "json"] | dict[str, Any] | None = optional("json, or a JSON schema")
    options: ModelOptions | None = optional("options of writing")
    logprobs: bool | None = optional("true adds the log-probability of each token")
    top_logprobs: NumTopLogprobs | None = optional("this many of the likeliest tokens at each place")


class OllamaMessage(BaseModel):
    """A message of a conversation."""

    model_config = ConfigDict(extra="allow")

    role: Annotated[str, Field(min_length=1, max_length=64)] = Field(
        description="system, user, assistant, tool, or another role of the model's template"
    )
    content: str | None = optional("the text")
    images: list[Any] | None = optional("refused")
    thinking: str | None = optional("left out, with a warning")
    tool_calls: Objects | None = optional("calls of an earlier answer")
    tool_name: str | None = optional("name of the function whose result this is")


class OllamaChatBody(WritingBody):
    """`POST /api/chat`; without messages the answer only says whether the model exists."""

    messages: Annotated[list[OllamaMessage], Field(fail_fast=True)] | None = optional(
        "the conversation, oldest message first"
    )
    tools: Annotated[list[Tool], Field(max_length=128)] | None = optional("functions that the model may call")


class OllamaGenerateBody(WritingBody):
    """`POST /api/generate`; without a prompt the answer only says whether the model exists."""

    prompt: str | None = optional("a user's message, or with `raw` the beginning of a text")
    suffix: str | None = optional("the text behind the gap that is filled")
    system: str | None = optional("the system message")
    template: str | None = optional("refused: templates in Go's notation are not read")
    context: Annotated[list[int], Field(fail_fast=True)] | None = optional("refused: send earlier turns to /api/chat")
    raw: bool | None = optional("continue the prompt as it stands")
    images: list[Any] | None = optional("refused")


class OllamaEmbedBody(Body):
    """`POST /api/embed`."""

    input: str | Annotated[list[str], Field(max_length=2048)] = Field(description="a text, or a list of texts")
    truncate: bool = Field(default=True, description="embed only the beginning of a text that is too long")
    dimensions: Annotated[int, Field(ge=1)] | None = optional("keep the first numbers of a vector, at length 1")
    options: ModelOptions | None = optional("no effect")


class OllamaEmbeddingsBody(Body):
    """`POST /api/embeddings`, which `/api/embed` replaced."""

    prompt: str = Field(description="the text")
    truncate: bool = Field(default=True, description="embed only the beginning of a text that is too long")
    options: ModelOptions | None = optional("no effect")


class ShowBody(Body):
    """`POST /api/show`."""

    name: str | None = optional("the older name of `model`")
