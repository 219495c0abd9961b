"""Bodies of Anthropic's requests (https://docs.anthropic.com/en/api/messages).

Content blocks are read by `lavra.server.anthropic.requests`, which names the place of what it refuses.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from lavra.server.schemas import Body, Finite, Objects

# Fields of Anthropic's that do nothing here.
IDLE_FIELDS: Final = frozenset(
    {
        "cache_control", "container", "context_management", "diagnostics", "inference_geo", "mcp_servers", "metadata",
        "service_tier", "speed", "user_profile_id", "workspace_id",
    }
)  # fmt: skip


class MessageInput(BaseModel):
    """One message; its content is a text or a list of blocks."""

    model_config = ConfigDict(extra="allow")

    role: Literal["user", "assistant", "system"]
    content: str | Objects


class CustomTool(BaseModel):
    """A function a model may call."""

    model_config = ConfigDict(extra="allow")

    type: str | None = None
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_.-]+$")]
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None


class ToolChoice(BaseModel):
    """Whether a function must be called, and which."""

    model_config = ConfigDict(extra="allow")

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class OutputFormat(BaseModel):
    """The form of an answer."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    type: Literal["json_schema"]
    json_schema: dict[str, Any] = Field(alias="schema")


class OutputConfig(BaseModel):
    """How an answer is written."""

    model_config = ConfigDict(extra="allow")

    format: OutputFormat | None = None
    effort: str | None = None


class CountTokensBody(Body):
    """`POST /v1/messages/count_tokens`: what a model would read."""

    messages: Annotated[list[MessageInput], Field(min_length=1, fail_fast=True)]
    system: str | Objects | None = None
    tools: Annotated[list[CustomTool], Field(max_length=128)] | None = None
    tool_choice: ToolChoice | None = None
    thinking: dict[str, Any] | None = Field(default=None, description="no effect: models here write no thinking")
    output_config: OutputConfig | None = None
    chat_template_kwargs: dict[str, Any] | None = Field(default=None, description="none of Anthropic's")


class MessagesBody(CountTokensBody):
    """`POST /v1/messages`; the last fields are none of Anthropic's."""

    max_tokens: Annotated[int, Field(ge=1, le=2**31 - 1)]
    stop_sequences: Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=16)] | None = None
    temperature: Annotated[Finite, Field(ge=0, le=100)] | None = None
    top_p: Annotated[Finite, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    stream: bool | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    min_p: Annotated[Finite, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[Finite, Field(gt=0, le=100)] | None = None
    truncate_prompt: bool | None = None
    priority: Annotated[int, Field(ge=-100, le=100)] | None = Field(default=None, description="lower ones go first")
