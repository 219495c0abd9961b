"""What endpoints answer, for the description at `/openapi.json` alone: endpoints write their JSON themselves.

Endpoints return responses, which the framework sends as they are: none of these classes costs an answer any time.
`tests/server/test_fuzz.py` holds answers to them.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict

Responses = dict[int | str, dict[str, Any]]

EVENTS: Final[Responses] = {
    200: {
        "content": {
            "text/event-stream": {
                "schema": {
                    "type": "object",
                    "description": "an event, where the request has stream: true",
                    "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
                    "required": ["data"],
                }
            }
        }
    }
}
"""Of an endpoint that may stream its answer as server-sent events."""

LINES: Final[Responses] = {
    200: {"content": {"application/x-ndjson": {"schema": {"type": "string", "description": "one object a line"}}}}
}
"""Of an endpoint that may stream its answer as lines of JSON."""


class Warned(BaseModel):
    """An answer that says what was not as asked."""

    model_config = ConfigDict(extra="allow")

    warnings: list[str]


class ErrorObject(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(BaseModel):
    """OpenAI's error object."""

    error: ErrorObject


class TokensRead(BaseModel):
    """Tokens that were read."""

    prompt_tokens: int
    total_tokens: int


class TokenPiece(BaseModel):
    """A token and what it spells: text, or bytes where they are no whole characters."""

    id: int
    piece: str | list[int]


class TokenList(Warned):
    """Of `/tokenize`."""

    tokens: list[int] | list[TokenPiece]
    count: int
    pieces: list[str]


class PlainText(Warned):
    """Of `/detokenize`; `content` is llama.cpp's name for the same."""

    text: str
    content: str


class RenderedPrompt(Warned):
    """Of `/apply-template`."""

    prompt: str
    tokens: list[int]


class ScoreAnswer(Warned):
    """Of `/score`."""

    tokens: list[int]
    logprobs: list[float | None]
    num_bytes: int
    kind: str


class ServedModelEntry(BaseModel):
    """A served model, or an index."""

    model_config = ConfigDict(extra="allow")

    id: str
    object: str
    created: int
    owned_by: str
    parent: str | None
    aliases: list[str]
    writes: bool
    embeds: bool
    fills_masks: bool
    retrieves: bool
    task: str | None
    labels: list[str]
    chats: bool
    max_model_len: int | None
    runner: str | None
    default_sampling_params: dict[str, float]
    good_for: str
    beginnings: list[str]


class ModelEntries(BaseModel):
    """Of `/v1/models`."""

    object: str
    data: list[ServedModelEntry]


class Health(BaseModel):
    """Of `/health`."""

    status: str


class Readiness(BaseModel):
    """Of `/ready`."""

    ready: bool


class Result(BaseModel):
    """What a model says of one input; the fields of each task are in `docs/server.md`."""

    model_config = ConfigDict(extra="allow")

    object: str
    index: int


class Results(Warned):
    """Of a task's endpoint: as many results as inputs, in their order."""

    object: str
    model: str
    data: list[Result]
    usage: TokensRead


class RankedDocument(BaseModel):
    """A document and how well it fits."""

    model_config = ConfigDict(extra="allow")

    index: int
    relevance_score: float


class RankedText(BaseModel):
    """A text and how well it fits, as text-embeddings-inference has it."""

    model_config = ConfigDict(extra="allow")

    index: int
    score: float


class Ranking(Warned):
    """Of `/v1/rerank`: the best document first."""

    model_config = ConfigDict(extra="allow")

    results: list[RankedDocument]


class Candidate(BaseModel):
    """A token for a gap."""

    score: float
    token: int
    token_str: str
    sequence: str


class FilledText(BaseModel):
    """Candidates of each gap of a text."""

    model_config = ConfigDict(extra="allow")

    index: int
    masks: list[list[Candidate]]


class FilledTexts(Warned):
    """Of `/v1/fill-mask`."""

    object: str
    model: str
    data: list[FilledText]


class SearchHit(BaseModel):
    """A passage: where it stands, what it says, and how each arm scored it."""

    model_config = ConfigDict(extra="allow")

    document: str
    document_id: str
    start: int
    end: int
    url: str
    line: int
    page: int | None
    text: str
    headings: list[str]
    meta: dict[str, Any]
    score: float
    scores: dict[str, float]


class SearchHits(Warned):
    """Of `/v1/search`."""

    object: str
    model: str
    data: list[SearchHit]


class IndexFacts(BaseModel):
    """An index: how many documents it has, and the values of their facts."""

    model: str
    documents: int
    fields: dict[str, Any]


class IndexList(BaseModel):
    """The indexes that are served."""

    object: str
    data: list[IndexFacts]


class DocumentName(BaseModel):
    """A document of an index."""

    document: str
    id: str


class DocumentNames(BaseModel):
    """Documents of an index, and how many there are in all."""

    object: str
    model: str
    data: list[DocumentName]
    total: int


class DocumentText(BaseModel):
    """A stretch of a document's text."""

    object: str
    model: str
    id: str
    document: str
    start: int
    end: int
    total: int
    text: str
    line: int
    pages: list[dict[str, int]]
    meta: dict[str, Any]
