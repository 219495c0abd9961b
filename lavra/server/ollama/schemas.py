"""Bodies of Ollama's requests (https://github.com/ollama/ollama/blob/main/docs/api.md)."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from lavra.server.schemas import Body, Finite, Objects, Stop, Tool

# Fields of Ollama's that do nothing here.
IDLE_FIELDS: Final = frozenset({"keep_alive", "think", "width", "height", "steps", "verbose", "insecure"})
# Options of Ollama's that do nothing here, with the value that asks for nothing.
IDLE_OPTIONS: Final[dict[str, Any]] = {
    "num_ctx": None, "num_keep": None, "num_batch": None, "num_gpu": None, "main_gpu": None, "num_thread": None,
    "numa": False, "low_vram": False, "f16_kv": None, "logits_all": False, "vocab_only": False, "use_mmap": None,
    "use_mlock": False, "embedding_only": False, "repeat_last_n": None, "tfs_z": 1, "typical_p": 1, "mirostat": 0,
    "mirostat_tau": None, "mirostat_eta": None, "penalize_newline": None, "draft_num_predict": None,
}  # fmt: skip


class ModelOptions(BaseModel):
    """How text is written; options that are not declared are kept, so that they can be named."""

    model_config = ConfigDict(extra="allow")

    num_predict: Annotated[int, Field(ge=-2, le=2**31 - 1)] | None = Field(
        default=None, description="most tokens; 0 and less: as many as there is room for"
    )
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = Field(default=None, description="-1 draws one")
    temperature: Annotated[Finite, Field(ge=0, le=100)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=2**31 - 1)] | None = Field(default=None, description="0 and -1 keep all")
    top_p: Annotated[Finite, Field(gt=0, le=1)] | None = None
    min_p: Annotated[Finite, Field(ge=0, le=1)] | None = None
    repeat_penalty: Annotated[Finite, Field(gt=0, le=100)] | None = None
    presence_penalty: Annotated[Finite, Field(ge=-100, le=100)] | None = None
    frequency_penalty: Annotated[Finite, Field(ge=-100, le=100)] | None = None
    stop: Stop = None


class WritingBody(Body):
    """What the chat and generate endpoints have in common."""

    stream: bool = True
    format: Literal["", "json"] | dict[str, Any] | None = Field(default=None, description="json, or a JSON schema")
    options: ModelOptions | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None


class OllamaMessage(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(extra="allow")

    role: Annotated[str, Field(min_length=1, max_length=64)]
    content: str | None = None
    images: list[Any] | None = None
    thinking: str | None = None
    tool_calls: Objects | None = None
    tool_name: str | None = None


class OllamaChatBody(WritingBody):
    """`POST /api/chat`; without messages it only says whether the model is there."""

    messages: Annotated[list[OllamaMessage], Field(fail_fast=True)] | None = None
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None


class OllamaGenerateBody(WritingBody):
    """`POST /api/generate`; without a prompt it only says whether the model is there."""

    prompt: str | None = None
    suffix: str | None = Field(default=None, description="the text behind the gap that is filled")
    system: str | None = None
    template: str | None = None
    context: Annotated[list[int], Field(fail_fast=True)] | None = None
    raw: bool | None = Field(default=None, description="continue the prompt as it stands")
    images: list[Any] | None = None


class OllamaEmbedBody(Body):
    """`POST /api/embed`."""

    input: str | Annotated[list[str], Field(max_length=2048)]
    truncate: bool = True
    dimensions: Annotated[int, Field(ge=1)] | None = None
    options: ModelOptions | None = None


class OllamaEmbeddingsBody(Body):
    """`POST /api/embeddings`, which `/api/embed` replaced."""

    prompt: str
    truncate: bool = True
    options: ModelOptions | None = None


class ShowBody(Body):
    """`POST /api/show`."""

    name: str | None = Field(default=None, description="the older name of `model`")
