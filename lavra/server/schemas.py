"""What requests look like: OpenAI's fields with OpenAI's names, and a few of our own where OpenAI has none.

A field that is here does something.  OpenAI's fields that do nothing here, and fields nobody knows, are accepted
and named in the answer's `warnings` (`lavra.server.fields`).

Lists without a bound of their own, and objects of typed values, stop at their first wrong item (`fail_fast`): a body of
a million wrong items is one error, not a million.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

VocabularyId = Annotated[int, Field(ge=0, le=2**31 - 1)]
TokenIds = Annotated[list[VocabularyId], Field(min_length=1, fail_fast=True)]
Stop = str | Annotated[list[str], Field(max_length=16)] | None
TextPair = Annotated[list[str], Field(min_length=2, max_length=2)]
Objects = Annotated[list[dict[str, Any]], Field(fail_fast=True)]
Words = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, fail_fast=True)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
# OpenAI was seen to take 300 (https://github.com/dottxt-ai/outlines/issues/99): too few for the digits of a vocabulary.
MOST_BIASES: Final = 1024
Bias = Annotated[Finite, Field(ge=-1000, le=1000)]
TokenBiases = Annotated[dict[str, Bias], Field(max_length=MOST_BIASES, fail_fast=True)]


class Body(BaseModel):
    """A request's body; fields that are not declared are kept, so that they can be named."""

    model_config = ConfigDict(extra="allow", strict=False)

    model: str | None = Field(default=None, description="name of a served model; the first one by default")


class StreamOptions(BaseModel):
    """How a stream ends."""

    model_config = ConfigDict(extra="allow")

    include_usage: bool = False
    continuous_usage_stats: bool = Field(default=False, description="tokens so far on every piece; vLLM's")


class ResponseFormat(BaseModel):
    """What the answer must be."""

    model_config = ConfigDict(extra="allow")

    type: Literal["text", "json_object", "json_schema", "regex", "grammar"]
    json_schema: dict[str, Any] | None = None
    regex: Annotated[str, Field(min_length=1)] | None = None
    grammar: Annotated[str, Field(min_length=1)] | None = None
    plain_schema: dict[str, Any] | None = Field(default=None, alias="schema", description="where others have it")


ChoiceTexts = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=1000)]


class StructuredOutputs(BaseModel):
    """What the answer must be, in vLLM's words; one of them."""

    model_config = ConfigDict(extra="allow")

    json_form: dict[str, Any] | str | None = Field(default=None, alias="json", description="a JSON schema")
    json_object: bool | None = None
    regex: Annotated[str, Field(min_length=1)] | None = None
    choice: ChoiceTexts | None = None
    grammar: Annotated[str, Field(min_length=1)] | None = None
    structural_tag: Any = None


class Sampled(Body):
    """How text is written; shared by chat and completions."""

    temperature: Annotated[Finite, Field(ge=0, le=100)] | None = None
    top_p: Annotated[Finite, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    min_p: Annotated[Finite, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[Finite, Field(gt=0, le=100)] | None = None
    presence_penalty: Annotated[Finite, Field(ge=-100, le=100)] | None = None
    frequency_penalty: Annotated[Finite, Field(ge=-100, le=100)] | None = None
    logit_bias: TokenBiases | None = Field(default=None, description="added to the logits of these token ids")
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: Stop = None
    stop_token_ids: Annotated[list[VocabularyId], Field(max_length=1000)] | None = Field(
        default=None, description="tokens that end the answer, besides the model's own"
    )
    ignore_eos: bool | None = Field(default=None, description="write on behind the model's own end of text")
    include_stop_str_in_output: bool | None = None
    skip_special_tokens: bool | None = Field(default=None, description="false shows special tokens in the text")
    n: Annotated[int, Field(ge=1)] | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = Field(default=None, description="vLLM's way to say the form")
    guided_json: dict[str, Any] | str | None = Field(default=None, description="vLLM's older way to say a JSON schema")
    guided_regex: Annotated[str, Field(min_length=1)] | None = None
    guided_choice: ChoiceTexts | None = None
    guided_grammar: Annotated[str, Field(min_length=1)] | None = None
    grammar: str | None = Field(default=None, description="llama.cpp's: GBNF, or Lark's notation")
    json_schema: dict[str, Any] | None = Field(default=None, description="llama.cpp's: a JSON schema")
    min_tokens: Annotated[int, Field(ge=0)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    truncate_prompt: bool | None = Field(
        default=None, description="drop the oldest tokens of a prompt that is too long"
    )
    priority: Annotated[int, Field(ge=-100, le=100)] | None = Field(default=None, description="lower ones go first")


class CompletionBody(Sampled):
    """`POST /v1/completions`."""

    prompt: str | TokenIds | Annotated[list[str | TokenIds], Field(min_length=1, max_length=128)]
    max_tokens: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    best_of: Annotated[int, Field(ge=1)] | None = None
    suffix: str | None = None


class Message(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(extra="allow")

    role: Annotated[str, Field(min_length=1, max_length=64)]
    content: str | Objects | None = None


class Function(BaseModel):
    """A function a model may call."""

    model_config = ConfigDict(extra="allow")

    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_.-]+$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(BaseModel):
    """Something a model may use; only functions are known."""

    model_config = ConfigDict(extra="allow")

    type: Literal["function"]
    function: Function


GroupNames = Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=1000)]


class RetrievalOptions(BaseModel):
    """How an index answers; a chat request to a model has no use for it."""

    model_config = ConfigDict(extra="forbid")

    k: Annotated[int, Field(ge=1, le=100)] = Field(default=8, description="most passages that are looked at")
    where: dict[str, Any] = Field(default_factory=dict, description='conditions: {"year": {"gte": 2020}}')
    groups: GroupNames | None = Field(default=None, description="read for these groups of the key only")
    mode: Literal["extractive", "generated"] | None = None
    unsupported: Literal["mark", "remove"] = "mark"


class ConversationBody(BaseModel):
    """A conversation and how it is laid out; names of the last three are vLLM's."""

    messages: Annotated[list[Message], Field(min_length=1, fail_fast=True)]
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    add_generation_prompt: bool | None = Field(
        default=None, description="false begins no new turn of the assistant behind the messages"
    )
    continue_final_message: bool | None = Field(
        default=None, description="the answer goes on within the last message, which is an assistant's"
    )


class ChatBody(ConversationBody, Sampled):
    """`POST /v1/chat/completions`."""

    max_tokens: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    functions: Annotated[list[Function], Field(max_length=128)] | None = Field(
        default=None, description="the older form of tools; a call is answered as function_call"
    )
    function_call: Literal["none", "auto"] | dict[str, Any] | None = None
    retrieval: RetrievalOptions | None = Field(default=None, description="where the model is an index")


class SearchBody(Body):
    """`POST /v1/search`; `model` names an index."""

    query: Annotated[str, Field(min_length=1)]
    k: Annotated[int, Field(ge=1, le=100)] = Field(default=10, description="most passages")
    where: dict[str, Any] = Field(default_factory=dict, description='conditions: {"year": {"gte": 2020}}')
    groups: GroupNames | None = Field(default=None, description="read for these groups of the key only")


class EmbeddingBody(Body):
    """`POST /v1/embeddings`."""

    input: str | TokenIds | Annotated[list[str | TokenIds], Field(min_length=1, max_length=2048)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1)] | None = None
    truncate: bool = Field(default=False, description="embed only the beginning of what is too long, and say so")


class FillMaskBody(Body):
    """`POST /v1/fill-mask`."""

    input: str | Annotated[list[str], Field(min_length=1, max_length=2048)]
    top_k: Annotated[int, Field(ge=1, le=2**31 - 1)] = 5
    targets: Annotated[list[str], Field(min_length=1, max_length=1000)] | None = Field(
        default=None, description="the only candidates; each one token of the vocabulary"
    )


class Headed(Body):
    """What texts a model with a task's head reads; those that are too long are refused unless they may be cut."""

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
    """`POST /v1/tag`; long texts are read in windows, nothing is cut."""

    input: str | Annotated[list[str | Words], Field(min_length=1, max_length=2048)] = Field(
        description="a text, or a list of texts and of lists of words"
    )


class PassageQuestion(BaseModel):
    """A question about a passage."""

    model_config = ConfigDict(extra="forbid")

    question: str
    context: str


class AnswerBody(Body):
    """`POST /v1/answer`; long passages are read in windows, nothing is cut."""

    input: PassageQuestion | Annotated[list[PassageQuestion], Field(min_length=1, max_length=2048)]
    allow_none: bool = Field(default=False, description="whether a passage may have no answer")


class Choices(BaseModel):
    """A beginning and endings to choose from."""

    model_config = ConfigDict(extra="forbid")

    text: str
    choices: Annotated[list[str], Field(min_length=2, max_length=256)]


class ChooseBody(Headed):
    """`POST /v1/choose`."""

    input: Choices | Annotated[list[Choices], Field(min_length=1, max_length=256)]


class RerankDocument(BaseModel):
    """A text, as some clients write it."""

    model_config = ConfigDict(extra="forbid")

    text: str


RerankDocuments = Annotated[list[str | RerankDocument], Field(min_length=1, max_length=2048)]


class RankedBody(Headed):
    """Whatever fits a query more or less."""

    query: str
    top_n: Annotated[int, Field(ge=1)] | None = Field(default=None, description="the best ones only; all by default")
    return_documents: bool = False
    max_tokens_per_doc: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="read so many tokens of each document, its first ones"
    )


class RerankBody(RankedBody):
    """`POST /v1/rerank` and `/v2/rerank`."""

    documents: RerankDocuments


class AnyRerankBody(RankedBody):
    """`POST /rerank`: Jina's form with `documents`, or that of text-embeddings-inference with `texts`."""

    documents: RerankDocuments | None = None
    texts: Annotated[list[str], Field(min_length=1, max_length=2048)] | None = None
    return_text: bool = Field(default=False, description="of `texts`")
    raw_scores: bool = Field(default=False, description="scores are from 0 to 1 here: true is refused")


class CohereEmbedBody(Body):
    """`POST /v2/embed`, of texts."""

    texts: Annotated[list[str], Field(min_length=1, max_length=2048)]
    embedding_types: Annotated[list[Literal["float", "base64"]], Field(fail_fast=True)] | None = None
    output_dimension: Annotated[int, Field(ge=1)] | None = None
    truncate: Literal["NONE", "END"] = Field(default="END", description="END reads the beginning of a long text")


class InferenceEmbedBody(Body):
    """`POST /embed`, as text-embeddings-inference has it."""

    inputs: str | Annotated[list[str], Field(min_length=1, max_length=2048)]
    truncate: bool = False
    dimensions: Annotated[int, Field(ge=1)] | None = None


class TokenizeBody(Body):
    """`POST /tokenize`; of `text` and `content` one, and the last two are llama.cpp's as `content` is."""

    text: str | None = None
    content: str | None = Field(default=None, description="llama.cpp's name for text")
    add_special_tokens: bool = False
    add_special: bool = Field(default=False, description="llama.cpp's name for add_special_tokens")
    with_pieces: bool = Field(default=False, description="tokens as objects of `id` and `piece`")


class DetokenizeBody(Body):
    """`POST /detokenize`."""

    tokens: Annotated[list[VocabularyId], Field(fail_fast=True)]
    skip_special_tokens: bool = False


class TemplateBody(ConversationBody, Body):
    """`POST /apply-template`."""


class ScoreBody(Body):
    """`POST /score`."""

    text: str | TokenIds
    given: str | None = None
