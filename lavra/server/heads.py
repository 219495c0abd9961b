"""`POST /v1/classify`, `/v1/tag`, `/v1/answer`, `/v1/choose`: what a model with a task's head says of texts.

Each takes one input or a list, and gives as many results, in their order.  `/v1/rerank`, whose form others have set,
is in `rerank`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from lavra.base.predictions import (
    AnswerRequest,
    ChooseRequest,
    Classification,
    ClassifyRequest,
    Prediction,
    PredictRequest,
    SpanAnswer,
    Tagging,
    TagRequest,
)
from lavra.base.tasks import Task
from lavra.server.edge import Edge
from lavra.server.fields import idle_fields
from lavra.server.schemas import AnswerBody, Body, ChooseBody, ClassifyBody, TagBody

Tell = Callable[[Any], dict[str, Any]]
"""From what the head says to JSON."""


def head_router(edge: Edge) -> APIRouter:
    """The endpoints over a server's models."""
    router = APIRouter(tags=["heads"])

    @router.post("/v1/classify")
    async def classify(body: ClassifyBody) -> Response:
        given = body.input if isinstance(body.input, list) else [body.input]
        texts = [one if isinstance(one, str) else (one[0], one[1]) for one in given]
        asked = [ClassifyRequest(text=text, truncate=body.truncate) for text in texts]
        return await run_in_threadpool(_answer, edge, body, Task.CLASSIFY, asked, _classification)

    @router.post("/v1/tag")
    async def tag(body: TagBody) -> Response:
        given = body.input if isinstance(body.input, list) else [body.input]
        asked = [TagRequest(text=one if isinstance(one, str) else tuple(one)) for one in given]
        return await run_in_threadpool(_answer, edge, body, Task.NER, asked, _tagging)

    @router.post("/v1/answer")
    async def answer(body: AnswerBody) -> Response:
        given = body.input if isinstance(body.input, list) else [body.input]
        asked = [AnswerRequest(question=one.question, context=one.context, allow_none=body.allow_none) for one in given]
        return await run_in_threadpool(_answer, edge, body, Task.QA, asked, _span)

    @router.post("/v1/choose")
    async def choose(body: ChooseBody) -> Response:
        given = body.input if isinstance(body.input, list) else [body.input]
        asked = [ChooseRequest(text=one.text, choices=tuple(one.choices), truncate=body.truncate) for one in given]
        return await run_in_threadpool(_answer, edge, body, Task.CHOICE, asked, _choice)

    return router


def _answer(edge: Edge, body: Body, task: Task, asked: Sequence[PredictRequest], tell: Tell) -> Response:
    warnings = idle_fields(body, strict=edge.config.strict)
    model = edge.models.named(body.model)
    found = model.head(task).predict(asked)
    data = [{"object": task.value, "index": index, **tell(prediction.value)} for index, prediction in enumerate(found)]
    told = [f"input {index}: {one}" for index, prediction in enumerate(found) for one in prediction.warnings]
    return JSONResponse(
        {
            "object": "list",
            "model": model.name,
            "data": data,
            "usage": usage_of(found),
            "warnings": [*warnings, *told],
        }
    )


def usage_of(found: Sequence[Prediction[Any]]) -> dict[str, int]:
    """Tokens read."""
    tokens = sum(prediction.num_tokens for prediction in found)
    return {"prompt_tokens": tokens, "total_tokens": tokens}


def _classification(found: Classification) -> dict[str, Any]:
    if found.value is not None:
        return {"value": found.value, "truncated": found.truncated}
    return {
        "label": found.label,
        "labels": list(found.labels),
        "scores": dict(found.scores),
        "truncated": found.truncated,
    }


def _tagging(found: Tagging) -> dict[str, Any]:
    entities = [
        {"label": one.label, "text": one.text, "start": one.start, "end": one.end, "score": one.score}
        for one in found.entities
    ]
    return {"words": list(found.words), "tags": list(found.tags), "entities": entities}


def _span(found: SpanAnswer) -> dict[str, Any]:
    return {"text": found.text, "start": found.start, "end": found.end, "score": found.score}


def _choice(found: Classification) -> dict[str, Any]:
    return {"choice": int(found.label), "scores": list(found.scores.values()), "truncated": found.truncated}
