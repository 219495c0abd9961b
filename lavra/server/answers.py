"""The forms of answers, for the description at `/openapi.json` alone: endpoints write their JSON themselves.

The framework sends the responses of endpoints unchanged, so these classes cost an answer no time.
`tests/server/test_fuzz.py` checks answers against them.
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
"""Responses of an endpoint that may stream its answer as server-sent events."""

LINES: Final[Responses] = {
    200: {"content": {"application/x-ndjson": {"schema": {"type": "string", "description": "one object a line"}}}}
}
"""Responses of an endpoint that may stream its answer as lines of JSON."""


class Warned(BaseModel):
    """An answer with warnings about the request."""

    model_config = ConfigDict(extra="allow")

    warnings: list[str]


class ErrorObject(BaseModel):
    """An error."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(BaseModel):
    """OpenAI's error object."""

    error: ErrorObject


class TokensRead(BaseModel):
    """The number of tokens read."""

    prompt_tokens: int
    total_tokens: int


class TokenPiece(BaseModel):
    """A token and its text, or its bytes where these are not whole characters."""

    id: int
    piece: str | list[int]


class TokenList(Warned):
    """The answer of `/tokenize`."""

    tokens: list[int] | list[TokenPiece]
    count: int
    pieces: list[str]


class PlainText(Warned):
    """The answer of `/detokenize`; `content` is llama.cpp's name for the same."""

    text: str
    content: str


class RenderedPrompt(Warned):
    """The answer of `/apply-template`."""

    prompt: str
    tokens: list[int]


class ScoreAnswer(Warned):
    """The answer of `/score`."""

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
    """The answer of `/v1/models`."""

    object: str
    data: list[ServedModelEntry]


class Health(BaseModel):
    """The answer of `/health`."""

    status: str


class Readiness(BaseModel):
    """The answer of `/ready`."""

    ready: bool


class Result(BaseModel):
    """A model's result for one input; `docs/server.md` lists the fields of each task."""

    model_config = ConfigDict(extra="allow")

    object: str
    index: int


class Results(Warned):
    """The answer of a task's endpoint: a result for each input, in their order."""

    object: str
    model: str
    data: list[Result]
    usage: TokensRead


class RankedDocument(BaseModel):
    """A document and its relevance."""

    model_config = ConfigDict(extra="allow")

    index: int
    relevance_score: float


class RankedText(BaseModel):
    """A text and its relevance, in the form of text-embeddings-inference."""

    model_config = ConfigDict(extra="allow")

    index: int
    score: float


class Ranking(Warned):
    """The answer of `/v1/rerank`: the best document first."""

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
    """The answer of `/v1/fill-mask`."""

    object: str
    model: str
    data: list[FilledText]


class SearchHit(BaseModel):
    """A passage: its place, its text, and its scores by each search method."""

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
    """The answer of `/v1/search`."""

    object: str
    model: str
    data: list[SearchHit]


class IndexFacts(BaseModel):
    """An index: its number of documents, and the values of their facts."""

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
    """Documents of an index, and their total number."""

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
