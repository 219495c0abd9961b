"""The body of `POST /v1/responses`: OpenAI's fields, and the sampling fields that chat completions take here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lavra.server.schemas import RetrievalOptions, Sampled, StreamOptions

Item = dict[str, Any]


class TextFormat(BaseModel):
    """The form of the text: `text.format`."""

    model_config = ConfigDict(extra="allow")

    type: Literal["text", "json_object", "json_schema", "regex", "grammar"] = "text"
    name: str | None = None
    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None
    description: str | None = None
    regex: Annotated[str, Field(min_length=1)] | None = None
    grammar: Annotated[str, Field(min_length=1)] | None = None


class TextOptions(BaseModel):
    """How the text is written: `text`."""

    model_config = ConfigDict(extra="allow")

    format: TextFormat | None = None


class FunctionTool(BaseModel):
    """A function that the model may call; other tools of OpenAI's run on OpenAI's machines."""

    model_config = ConfigDict(extra="allow")

    type: Literal["function"]
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_.-]+$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class EventOptions(StreamOptions):
    """How a stream of events is sent."""

    include_obfuscation: bool | None = None


class ResponseBody(Sampled):
    """`POST /v1/responses`."""

    input: str | Annotated[list[Item], Field(min_length=1, fail_fast=True)] = Field(
        description="a text, or a list of items"
    )
    instructions: str | None = Field(default=None, description="a system message before everything else")
    max_output_tokens: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    text: TextOptions | None = None
    stream_options: EventOptions | None = None
    tools: Annotated[list[FunctionTool], Field(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    include: Annotated[list[str], Field(max_length=64)] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    metadata: (
        Annotated[
            dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]],
            Field(max_length=16, fail_fast=True),
        ]
        | None
    ) = None
    store: bool | None = Field(default=None, description="keep the response; true by default")
    previous_response_id: str | None = Field(default=None, description="the conversation goes on after this response")
    background: bool | None = Field(default=None, description="go on when the client leaves")
    chat_template_kwargs: dict[str, Any] | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = Field(
        default=None, description="the answer goes on within the last item, which is an assistant's message"
    )
    raw: bool | None = Field(
        default=None, description="input is a text that is continued as it stands, without a chat template"
    )
    retrieval: RetrievalOptions | None = Field(default=None, description="where the model is an index")


class CountBody(ResponseBody):
    """`POST /v1/responses/input_tokens`, where nothing has to be new."""

    input: str | list[Item] = Field(default_factory=list, description="a text, or a list of items")
