"""Bodies of Anthropic's requests (https://docs.anthropic.com/en/api/messages).

`lavra.server.anthropic.requests` reads the content blocks and names the place of a refused block.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from lavra.server.sampling_fields import SamplingFields
from lavra.server.schemas import Body, FunctionName, Objects, optional

# Anthropic's fields without effect here.
IDLE_FIELDS: Final = frozenset(
    {
        "cache_control", "container", "context_management", "diagnostics", "inference_geo", "mcp_servers", "metadata",
        "service_tier", "speed", "user_profile_id", "workspace_id",
    }
)  # fmt: skip


class MessageInput(BaseModel):
    """A message, whose content is a text or a list of blocks."""

    model_config = ConfigDict(extra="allow")

    role: Literal["user", "assistant", "system"] = Field(description="role of the message")
    content: str | Objects = Field(description="a text, or a list of blocks")


class CustomTool(BaseModel):
    """A function a model may call."""

    model_config = ConfigDict(extra="allow")

    type: str | None = optional("custom, or nothing; tools that Anthropic's servers run are refused")
    name: FunctionName = Field(description="name of the function")
    description: str | None = optional("use of the function, for the model")
    input_schema: dict[str, Any] | None = optional("JSON schema of the arguments")
    strict: bool | None = optional("no effect unless a call is demanded")


class ToolChoice(BaseModel):
    """The choice of functions: whether the model must call a function, and its name."""

    model_config = ConfigDict(extra="allow")

    type: Literal["auto", "any", "tool", "none"] = Field(
        description="whether a function is called: auto, any, tool (the named function) or none"
    )
    name: str | None = optional("name of the function, for tool")
    disable_parallel_tool_use: bool | None = optional("true keeps the first call only")


class OutputFormat(BaseModel):
    """The form of an answer."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    type: Literal["json_schema"] = Field(description="kind of the form")
    json_schema: dict[str, Any] = Field(alias="schema", description="the JSON schema")


class OutputConfig(BaseModel):
    """The options of an answer's form."""

    model_config = ConfigDict(extra="allow")

    format: OutputFormat | None = optional("the form of the answer")
    effort: str | None = optional("no effect")


class CountTokensBody(Body):
    """`POST /v1/messages/count_tokens`: a request whose tokens are counted."""

    messages: Annotated[list[MessageInput], Field(min_length=1, fail_fast=True)] = Field(
        description="the conversation, oldest message first"
    )
    system: str | Objects | None = optional("the system message, a text or text blocks")
    tools: Annotated[list[CustomTool], Field(max_length=128)] | None = optional("functions that the model may call")
    tool_choice: ToolChoice | None = optional("whether and which function is called")
    thinking: dict[str, Any] | None = optional("no effect: models here write no thinking")
    output_config: OutputConfig | None = optional("options of the answer's form")
    chat_template_kwargs: dict[str, Any] | None = optional("further names that the chat template reads")


class MessagesBody(CountTokensBody, SamplingFields):
    """`POST /v1/messages`; the last fields and most sampling parameters are lavra's, not Anthropic's."""

    max_tokens: Annotated[int, Field(ge=1, le=2**31 - 1)] = Field(description="most tokens of the answer")
    stop_sequences: Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=16)] | None = optional(
        "texts that end the answer"
    )
    stream: bool | None = optional("send the answer while it is written")
    truncate_prompt: bool | None = optional("drop the oldest tokens of a prompt that is too long")
    priority: Annotated[int, Field(ge=-100, le=100)] | None = optional("requests with a lower number go first")
