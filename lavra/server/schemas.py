"""The forms of requests: OpenAI's fields with OpenAI's names, and a few fields of lavra where OpenAI has none.

Every field in this module has an effect.
OpenAI's fields without effect here, and unknown fields, are accepted and named in the answer's `warnings`
(`lavra.server.fields`).

Lists without a bound of their own, and objects of typed values, stop at their first wrong item (`fail_fast`): a body of
a million wrong items is one error, not a million.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from lavra.base.types import LOGIT_BIAS
from lavra.server.sampling_fields import SamplingFields

VocabularyId = Annotated[int, Field(ge=0, le=2**31 - 1)]
TokenIds = Annotated[list[VocabularyId], Field(min_length=1, fail_fast=True)]
Stop = str | Annotated[list[str], Field(max_length=16)] | None
TextPair = Annotated[list[str], Field(min_length=2, max_length=2)]
Objects = Annotated[list[dict[str, Any]], Field(fail_fast=True)]
Words = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, fail_fast=True)]
FunctionName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_.-]+$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]
NumTopLogprobs = Annotated[int, Field(ge=0, le=20)]  # as OpenAI has it
# OpenAI was seen to take 300 (https://github.com/dottxt-ai/outlines/issues/99): too few for the digits of a vocabulary.
MOST_BIASES: Final = 1024
TokenBiases = Annotated[
    dict[str, Annotated[Finite, Field(ge=LOGIT_BIAS.least, le=LOGIT_BIAS.most)]],
    Field(max_length=MOST_BIASES, fail_fast=True),
]


def optional(sentence: str) -> Any:
    """A field that a request may leave out, with its sentence."""
    return Field(default=None, description=sentence)


class Body(BaseModel):
    """A request's body; fields that are not declared are kept, so that they can be named."""

    model_config = ConfigDict(extra="allow", strict=False)

    model: str | None = optional("name of a served model; the first one by default")


class StreamOptions(BaseModel):
    """The options of a stream's end."""

    model_config = ConfigDict(extra="allow")

    include_usage: bool = Field(default=False, description="a last piece with the tokens of the whole answer")
    continuous_usage_stats: bool = Field(default=False, description="tokens so far on every piece; vLLM's")


class ResponseFormat(BaseModel):
    """The form that the answer must have."""

    model_config = ConfigDict(extra="allow")

    type: Literal["text", "json_object", "json_schema", "regex", "grammar"] = Field(
        description="the kind of the form; each but the first two has a field of its own"
    )
    json_schema: dict[str, Any] | None = optional("an object whose `schema` is the JSON schema")
    regex: Annotated[str, Field(min_length=1)] | None = optional("a regular expression")
    grammar: Annotated[str, Field(min_length=1)] | None = optional("a grammar in Lark's notation or GBNF")
    plain_schema: dict[str, Any] | None = Field(default=None, alias="schema", description="the JSON schema itself")


ChoiceTexts = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=1000)]


class StructuredOutputs(BaseModel):
    """The form that the answer must have, with vLLM's fields; exactly one is given."""

    model_config = ConfigDict(extra="allow")

    json_form: dict[str, Any] | str | None = Field(default=None, alias="json", description="a JSON schema")
    json_object: bool | None = optional("true: any JSON object")
    regex: Annotated[str, Field(min_length=1)] | None = optional("a regular expression")
    choice: ChoiceTexts | None = optional("the texts, of which the answer is one")
    grammar: Annotated[str, Field(min_length=1)] | None = optional("a grammar in Lark's notation or GBNF")
    structural_tag: Any = optional("refused")


class Sampled(Body, SamplingFields):
    """The options of writing, shared by chat and completions."""

    logit_bias: TokenBiases | None = optional("added to the logits of these token ids")
    stop: Stop = optional("texts that end the answer")
    stop_token_ids: Annotated[list[VocabularyId], Field(max_length=1000)] | None = optional(
        "tokens that end the answer, besides the model's own"
    )
    ignore_eos: bool | None = optional("write on behind the model's own end of text")
    include_stop_str_in_output: bool | None = optional("true keeps the text of `stop` that ended the answer")
    skip_special_tokens: bool | None = optional("false shows special tokens in the text")
    n: Annotated[int, Field(ge=1)] | None = optional("number of answers; 1 by default")
    response_format: ResponseFormat | None = optional("the form of the answer")
    structured_outputs: StructuredOutputs | None = optional("vLLM's way to say the form")
    guided_json: dict[str, Any] | str | None = optional("vLLM's older way to say a JSON schema")
    guided_regex: Annotated[str, Field(min_length=1)] | None = optional("vLLM's older way to say a regular expression")
    guided_choice: ChoiceTexts | None = optional("vLLM's older way to say the possible texts")
    guided_grammar: Annotated[str, Field(min_length=1)] | None = optional("vLLM's older way to say a grammar")
    grammar: str | None = optional("llama.cpp's: GBNF, or Lark's notation")
    json_schema: dict[str, Any] | None = optional("llama.cpp's: a JSON schema")
    min_tokens: Annotated[int, Field(ge=0)] | None = optional("tokens before which nothing ends the answer")
    stream: bool | None = optional("send the answer while it is written")
    stream_options: StreamOptions | None = optional("options of the stream")
    truncate_prompt: bool | None = optional("drop the oldest tokens of a prompt that is too long")
    priority: Annotated[int, Field(ge=-100, le=100)] | None = optional("requests with a lower number go first")


class CompletionBody(Sampled):
    """`POST /v1/completions`."""

    prompt: str | TokenIds | Annotated[list[str | TokenIds], Field(min_length=1, max_length=128)] = Field(
        description="a text, token ids, or a list of up to 128 of these"
    )
    max_tokens: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = optional(
        "most tokens of an answer; the model's own number, or 16"
    )
    echo: bool | None = optional("begin the answer with the prompt")
    logprobs: NumTopLogprobs | None = optional("log-probabilities, with this many of the likeliest tokens")
    best_of: Annotated[int, Field(ge=1)] | None = optional("answers to write, of which the `n` likeliest are sent")
    suffix: str | None = optional("the text behind the gap, for models that fill gaps")


class Message(BaseModel):
    """A message of a conversation."""

    model_config = ConfigDict(extra="allow")

    role: Annotated[str, Field(min_length=1, max_length=64)] = Field(description="a role of the chat template")
    content: str | Objects | None = optional("a text, or a list of text parts")


class Function(BaseModel):
    """A function a model may call."""

    model_config = ConfigDict(extra="allow")

    name: FunctionName = Field(description="name of the function")
    description: str | None = optional("use of the function, for the model")
    parameters: dict[str, Any] | None = optional("JSON schema of the arguments")
    strict: bool | None = optional("no effect unless a call is demanded")


class Tool(BaseModel):
    """A tool that a model may use; only functions are supported."""

    model_config = ConfigDict(extra="allow")

    type: Literal["function"] = Field(description="kind of the tool")
    function: Function = Field(description="the function")


GroupNames = Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=1000)]


class RetrievalOptions(BaseModel):
    """The options of an index's answer; a chat request to a model does not use them."""

    model_config = ConfigDict(extra="forbid")

    k: Annotated[int, Field(ge=1, le=100)] = Field(default=8, description="most passages that an answer rests on")
    where: dict[str, Any] = Field(default_factory=dict, description='conditions: {"year": {"gte": 2020}}')
    groups: GroupNames | None = optional("search what these groups of the key may read")
    mode: Literal["extractive", "generated"] | None = optional(
        "extractive quotes passages, generated lets a model write"
    )
    unsupported: Literal["mark", "remove"] = Field(
        default="mark", description="mark or remove sentences without evidence"
    )


class ConversationBody(BaseModel):
    """A conversation and the options of its layout; the last three have vLLM's names."""

    messages: Annotated[list[Message], Field(min_length=1, fail_fast=True)] = Field(
        description="the conversation, oldest message first"
    )
    tools: Annotated[list[Tool], Field(max_length=128)] | None = optional("functions that the model may call")
    chat_template_kwargs: dict[str, Any] | None = optional("further names that the chat template reads")
    add_generation_prompt: bool | None = optional("false begins no new turn of the assistant behind the messages")
    continue_final_message: bool | None = optional(
        "the answer goes on within the last message, which is an assistant's"
    )


class ChatBody(ConversationBody, Sampled):
    """`POST /v1/chat/completions`."""

    max_tokens: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = optional(
        "most tokens of an answer; as many as there is room for by default"
    )
    max_completion_tokens: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = optional(
        "OpenAI's newer name for max_tokens"
    )
    logprobs: bool | None = optional("true adds the log-probability of each token")
    top_logprobs: NumTopLogprobs | None = optional("this many of the likeliest tokens at each place")
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = optional(
        "none, auto, required, or an object that names a function"
    )
    parallel_tool_calls: bool | None = optional("false keeps the first call only")
    functions: Annotated[list[Function], Field(max_length=128)] | None = optional(
        "the older form of tools; a call is answered as function_call"
    )
    function_call: Literal["none", "auto"] | dict[str, Any] | None = optional("the older form of tool_choice")
    retrieval: RetrievalOptions | None = optional("options of an index that answers")


class SearchBody(Body):
    """`POST /v1/search`; `model` names an index."""

    query: Annotated[str, Field(min_length=1)] = Field(description="the text to search for")
    k: Annotated[int, Field(ge=1, le=100)] = Field(default=10, description="most passages")
    where: dict[str, Any] = Field(default_factory=dict, description='conditions: {"year": {"gte": 2020}}')
    groups: GroupNames | None = optional("search what these groups of the key may read")


class EmbeddingBody(Body):
    """`POST /v1/embeddings`."""

    input: str | TokenIds | Annotated[list[str | TokenIds], Field(min_length=1, max_length=2048)] = Field(
        description="a text, token ids, or a list of up to 2,048 of these"
    )
    encoding_format: Literal["float", "base64"] = Field(
        default="float", description="lists of numbers, or base64 of float32"
    )
    dimensions: Annotated[int, Field(ge=1)] | None = optional("keep the first numbers of a vector, at length 1")
    truncate: bool = Field(default=False, description="embed only the beginning of what is too long, and say so")


class FillMaskBody(Body):
    """`POST /v1/fill-mask`."""

    input: str | Annotated[list[str], Field(min_length=1, max_length=2048)] = Field(
        description="a text or a list of texts, each with a gap or more"
    )
    top_k: Annotated[int, Field(ge=1, le=2**31 - 1)] = Field(default=5, description="candidates for each gap")
    targets: Annotated[list[str], Field(min_length=1, max_length=1000)] | None = optional(
        "the only candidates; each one token of the vocabulary"
    )


class Headed(Body):
    """A request to a model with a task's head; it refuses texts that are too long unless it may cut them."""

    truncate: bool = Field(default=False, description="read only the beginning of what is too long, and say so")


class InputBody(Headed):
    """An endpoint of a task that was added: its inputs are read by the task itself."""

    input: Any = Field(description="one input of the task, or a list of them")
    allow_none: bool = Field(default=False, description="whether there may be no answer")


class ClassifyBody(Headed):
    """`POST /v1/classify`."""

    input: str | Annotated[list[str | TextPair], Field(min_length=1, max_length=2048)] = Field(
        description="a text, or a list of texts and of pairs of texts"
    )


class TagBody(Body):
    """`POST /v1/tag`; long texts are read in windows, without cuts."""

    input: str | Annotated[list[str | Words], Field(min_length=1, max_length=2048)] = Field(
        description="a text, or a list of texts and of lists of words"
    )


class PassageQuestion(BaseModel):
    """A question about a passage."""

    model_config = ConfigDict(extra="forbid")

    question: str = Field(description="the question")
    context: str = Field(description="the passage")


class AnswerBody(Body):
    """`POST /v1/answer`; long passages are read in windows, without cuts."""

    input: PassageQuestion | Annotated[list[PassageQuestion], Field(min_length=1, max_length=2048)] = Field(
        description="a question with its passage, or a list of them"
    )
    allow_none: bool = Field(default=False, description="whether a passage may have no answer")


class Choices(BaseModel):
    """A beginning and endings to choose from."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(description="the beginning")
    choices: Annotated[list[str], Field(min_length=2, max_length=256)] = Field(description="the endings")


class ChooseBody(Headed):
    """`POST /v1/choose`."""

    input: Choices | Annotated[list[Choices], Field(min_length=1, max_length=256)] = Field(
        description="a beginning with its endings, or a list of them"
    )


class RerankDocument(BaseModel):
    """A text, as some clients write it."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(description="the text")


RerankDocuments = Annotated[list[str | RerankDocument], Field(min_length=1, max_length=2048)]


class RankedBody(Headed):
    """A request to rank documents by relevance to a query."""

    query: str = Field(description="the text that the documents are compared with")
    top_n: Annotated[int, Field(ge=1)] | None = optional("the best ones only; all by default")
    return_documents: bool = Field(default=False, description="true adds each document to its result")
    max_tokens_per_doc: Annotated[int, Field(ge=1)] | None = optional(
        "read so many tokens of each document, its first ones"
    )


class RerankBody(RankedBody):
    """`POST /v1/rerank` and `/v2/rerank`."""

    documents: RerankDocuments = Field(description="the texts that are ranked")


class AnyRerankBody(RankedBody):
    """`POST /rerank`: Jina's form with `documents`, or that of text-embeddings-inference with `texts`."""

    documents: RerankDocuments | None = optional("the texts that are ranked, in Jina's form")
    texts: Annotated[list[str], Field(min_length=1, max_length=2048)] | None = optional(
        "the same, in the form of text-embeddings-inference"
    )
    return_text: bool = Field(default=False, description="true adds each of `texts` to its result")
    raw_scores: bool = Field(default=False, description="scores are from 0 to 1 here: true is refused")


class CohereEmbedBody(Body):
    """`POST /v2/embed`, of texts."""

    texts: Annotated[list[str], Field(min_length=1, max_length=2048)] = Field(description="the texts")
    embedding_types: Annotated[list[Literal["float", "base64"]], Field(fail_fast=True)] | None = optional(
        "forms of the vectors; float by default"
    )
    output_dimension: Annotated[int, Field(ge=1)] | None = optional("keep the first numbers of a vector, at length 1")
    truncate: Literal["NONE", "END"] = Field(default="END", description="END reads the beginning of a long text")


class InferenceEmbedBody(Body):
    """`POST /embed`, as text-embeddings-inference has it."""

    inputs: str | Annotated[list[str], Field(min_length=1, max_length=2048)] = Field(
        description="a text, or a list of texts"
    )
    truncate: bool = Field(default=False, description="embed only the beginning of a text that is too long")
    dimensions: Annotated[int, Field(ge=1)] | None = optional("keep the first numbers of a vector, at length 1")


class TokenizeBody(Body):
    """`POST /tokenize`; of `text` and `content` one, and the last two are llama.cpp's as `content` is."""

    text: str | None = optional("the text")
    content: str | None = optional("llama.cpp's name for text")
    add_special_tokens: bool = Field(default=False, description="true adds the tokenizer's special tokens")
    add_special: bool = Field(default=False, description="llama.cpp's name for add_special_tokens")
    with_pieces: bool = Field(default=False, description="tokens as objects of `id` and `piece`")


class DetokenizeBody(Body):
    """`POST /detokenize`."""

    tokens: Annotated[list[VocabularyId], Field(fail_fast=True)] = Field(description="the token ids")
    skip_special_tokens: bool = Field(default=False, description="true leaves special tokens out of the text")


class TemplateBody(ConversationBody, Body):
    """`POST /apply-template`."""


class ScoreBody(Body):
    """`POST /score`."""

    text: str | TokenIds = Field(description="a text, or token ids")
    given: str | None = optional("the source text, for an encoder-decoder")
