"""The body of `POST /v1/responses`: OpenAI's fields, and the sampling fields that chat completions take here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lavra.server.schemas import FunctionName, NumTopLogprobs, RetrievalOptions, Sampled, StreamOptions, optional

Item = dict[str, Any]


class TextFormat(BaseModel):
    """The form of the text: `text.format`."""

    model_config = ConfigDict(extra="allow")

    type: Literal["text", "json_object", "json_schema", "regex", "grammar"] = Field(
        default="text", description="the kind of the form"
    )
    name: str | None = optional("name of the JSON schema")
    json_schema: dict[str, Any] | None = Field(default=None, alias="schema", description="the JSON schema")
    strict: bool | None = optional("no effect: a schema is always enforced")
    description: str | None = optional("description of the JSON schema")
    regex: Annotated[str, Field(min_length=1)] | None = optional("a regular expression")
    grammar: Annotated[str, Field(min_length=1)] | None = optional("a grammar in Lark's notation or GBNF")


class TextOptions(BaseModel):
    """The field `text`: options of the answer's form."""

    model_config = ConfigDict(extra="allow")

    format: TextFormat | None = optional("the form of the text")


class FunctionTool(BaseModel):
    """A function that the model may call; other tools of OpenAI's run on OpenAI's machines."""

    model_config = ConfigDict(extra="allow")

    type: Literal["function"] = Field(description="kind of the tool")
    name: FunctionName = Field(description="name of the function")
    description: str | None = optional("use of the function, for the model")
    parameters: dict[str, Any] | None = optional("JSON schema of the arguments")
    strict: bool | None = optional("no effect unless a call is demanded")


class EventOptions(StreamOptions):
    """The options of a stream of events."""

    include_usage: bool = Field(default=False, description="no effect: the last event has the tokens")
    include_obfuscation: bool | None = optional("no effect: events are not padded")


class ResponseBody(Sampled):
    """`POST /v1/responses`."""

    input: str | Annotated[list[Item], Field(min_length=1, fail_fast=True)] = Field(
        description="a text, or a list of items"
    )
    instructions: str | None = optional("a system message before everything else")
    max_output_tokens: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = optional(
        "most tokens of the answer; as many as there is room for by default"
    )
    text: TextOptions | None = optional("options of the text")
    stream_options: EventOptions | None = optional("options of the stream")
    tools: Annotated[list[FunctionTool], Field(max_length=128)] | None = optional("functions that the model may call")
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = optional(
        "none, auto, required, or an object that names a function"
    )
    parallel_tool_calls: bool | None = optional("false keeps the first call only")
    include: Annotated[list[str], Field(max_length=64)] | None = optional(
        "`message.output_text.logprobs` adds log-probabilities"
    )
    top_logprobs: NumTopLogprobs | None = optional("this many of the likeliest tokens at each place")
    truncation: Literal["auto", "disabled"] | None = optional(
        "auto leaves out the oldest turns of a conversation that is too long"
    )
    metadata: (
        Annotated[
            dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]],
            Field(max_length=16, fail_fast=True),
        ]
        | None
    ) = optional("texts that the stored response keeps, by name")
    store: bool | None = optional("keep the response; true by default")
    previous_response_id: str | None = optional("the conversation goes on after this response")
    background: bool | None = optional("go on when the client leaves")
    chat_template_kwargs: dict[str, Any] | None = optional("further names that the chat template reads")
    add_generation_prompt: bool | None = optional("false begins no new turn of the assistant")
    continue_final_message: bool | None = optional(
        "the answer goes on within the last item, which is an assistant's message"
    )
    raw: bool | None = optional("input is a text that is continued as it stands, without a chat template")
    retrieval: RetrievalOptions | None = optional("options of an index that answers")


class CountBody(ResponseBody):
    """`POST /v1/responses/input_tokens`; its input may be empty."""

    input: str | list[Item] = Field(default_factory=list, description="a text, or a list of items")
