"""`POST /v1/rerank` and `/rerank`: documents ranked by relevance to a query, in the form of Jina and Cohere.

`/rerank` also takes `texts`, as text-embeddings-inference does, and then answers with a bare list.
References: https://jina.ai/reranker, https://docs.cohere.com/v1/reference/rerank,
https://huggingface.github.io/text-embeddings-inference.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from lavra.base.errors import InputError
from lavra.base.predictions import RankRequest
from lavra.server.answers import RankedText, Ranking
from lavra.server.fields import idle_fields
from lavra.server.heads import usage_of
from lavra.server.schemas import AnyRerankBody, RankedBody, RerankBody, RerankDocument
from lavra.server.server_state import ServerState
from lavra.tasks.rerank import RERANK
from lavra.tokens.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class RankedTexts:
    """Texts ranked by relevance to a query.

    Attributes:
        model: name of the model that ranked them.
        texts: texts in the request's order.
        ranked: number of each text and its score from 0 to 1, the best first; `top_n` of them.
        usage: tokens read.
        warnings: warnings about cut texts, and fields that had no effect.
    """

    model: str
    texts: tuple[str, ...]
    ranked: tuple[tuple[int, float], ...]
    usage: dict[str, int]
    warnings: tuple[str, ...]


def rerank_router(state: ServerState) -> APIRouter:
    """The endpoints over a server's models."""
    router = APIRouter(tags=["heads"])

    @router.post("/v1/rerank", response_model=Ranking)
    async def rerank(body: RerankBody) -> Response:
        """Rank documents by their relevance to a query."""
        ranked = await run_in_threadpool(rank_texts, state, body, body.documents, truncate=body.truncate)
        return JSONResponse(rerank_object(body, ranked))

    @router.post("/rerank", response_model=Ranking | list[RankedText])
    async def rerank_any(body: AnyRerankBody) -> Response:
        """The same, in the form of Jina (`documents`) or of text-embeddings-inference (`texts`)."""
        texts = _documents(body)
        ranked = await run_in_threadpool(rank_texts, state, body, texts, truncate=body.truncate)
        return JSONResponse(_bare_list(body, ranked) if body.documents is None else rerank_object(body, ranked))

    return router


def _documents(body: AnyRerankBody) -> Sequence[str | RerankDocument]:
    if (body.documents is None) == (body.texts is None):
        raise InputError("give documents, or texts as text-embeddings-inference calls them, and not both")
    if body.raw_scores:
        raise InputError("raw_scores is true and scores are from 0 to 1 here; leave it out")
    texts: Sequence[str | RerankDocument] | None = body.documents or body.texts
    assert texts is not None
    return texts


def rank_texts(
    state: ServerState, body: RankedBody, documents: Sequence[str | RerankDocument], *, truncate: bool
) -> RankedTexts:
    """Rank a request's documents; it blocks, so call it in a thread.

    Args:
        state: state of the server.
        body: body of the request.
        documents: documents of the request.
        truncate: whether a document that is too long is cut to its beginning.

    Raises:
        InputError: the model has no head for ranking, or a document is too long.
        UnknownModelError: no model has this name.
    """
    warnings = idle_fields(body, strict=state.config.strict)
    model = state.models.named(body.model)
    texts = tuple(one if isinstance(one, str) else one.text for one in documents)
    read, cut = _beginnings(model.tokenizer, texts, body.max_tokens_per_doc)
    (found,) = model.head(RERANK).predict([RankRequest(query=body.query, texts=read, truncate=truncate)])
    return RankedTexts(
        model=model.name,
        texts=texts,
        ranked=tuple((one.index, one.score) for one in found.value)[: body.top_n],
        usage=usage_of([found]),
        warnings=(*warnings, *cut, *found.warnings),
    )


def _beginnings(tokenizer: Tokenizer, texts: tuple[str, ...], most: int | None) -> tuple[tuple[str, ...], list[str]]:
    """The first tokens of each text, and a warning for each that has more."""
    if most is None:
        return texts, []
    read, warnings = [], []
    for index, text in enumerate(texts):
        ends = [end for _, end in tokenizer.backend.encode(text, add_special_tokens=False).offsets]
        read.append(text[: ends[most - 1]] if len(ends) > most else text)
        if len(ends) > most:
            warnings.append(f"document {index} has {len(ends)} tokens; its first {most} were read")
    return tuple(read), warnings


def rerank_object(body: RankedBody, found: RankedTexts) -> dict[str, Any]:
    """The answer that clients of Jina (`usage`) and Cohere (`meta`) read."""
    results: list[dict[str, Any]] = [{"index": index, "relevance_score": score} for index, score in found.ranked]
    if body.return_documents:
        results = [{**one, "document": {"text": found.texts[one["index"]]}} for one in results]
    return {
        "id": f"rerank-{uuid.uuid4().hex}",
        "object": "list",
        "model": found.model,
        "results": results,
        "usage": found.usage,
        "meta": {"tokens": {"input_tokens": found.usage["prompt_tokens"]}, "warnings": list(found.warnings)},
        "warnings": list(found.warnings),
    }


def _bare_list(body: AnyRerankBody, found: RankedTexts) -> list[dict[str, Any]]:
    """The answer of text-embeddings-inference, which has no place for warnings."""
    return [
        {"index": index, "score": score, **({"text": found.texts[index]} if body.return_text else {})}
        for index, score in found.ranked
    ]
