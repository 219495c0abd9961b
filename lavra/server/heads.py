"""`POST /v1/classify`, `/v1/tag`, `/v1/answer`, `/v1/choose`: the results of a model with a task's head.

Each takes an input or a list, and gives as many results, in their order; a task that was added has its endpoint too.
`/v1/rerank`, which follows the form of other servers, is in `rerank`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from lavra.base.errors import InputError
from lavra.base.predictions import Prediction
from lavra.server.answers import Results
from lavra.server.fields import idle_fields
from lavra.server.schemas import AnswerBody, ChooseBody, ClassifyBody, InputBody, TagBody
from lavra.server.server_state import ServerState
from lavra.tasks.rerank import RERANK
from lavra.tasks.spec import Asking, AskOptions, TaskSpec
from lavra.tasks.table import asked_tasks

BODIES: Final[Mapping[str, type[Any]]] = {
    "classify": ClassifyBody,
    "tag": TagBody,
    "answer": AnswerBody,
    "choose": ChooseBody,
}
"""The body of each task's endpoint; that of another task is `InputBody`."""


def head_router(state: ServerState) -> APIRouter:
    """The endpoints over a server's models."""
    router = APIRouter(tags=["heads"])
    for task in asked_tasks():
        if task.asking is not None and task is not RERANK:
            endpoint = _endpoint(state, task, task.asking, BODIES.get(task.name, InputBody))
            router.add_api_route(task.asking.path, endpoint, methods=["POST"], name=task.name, response_model=Results)
    return router


def _endpoint(
    state: ServerState, task: TaskSpec, asking: Asking, body_class: type[Any]
) -> Callable[..., Awaitable[Response]]:
    async def ask(body: Any) -> Response:
        return await run_in_threadpool(_answer, state, task, asking, body)

    ask.__annotations__["body"] = body_class
    ask.__doc__ = task.summary
    return ask


def _answer(state: ServerState, task: TaskSpec, asking: Asking, body: Any) -> Response:
    warnings = idle_fields(body, strict=state.config.strict)
    model = state.models.named(body.model)
    options = AskOptions(**{name: getattr(body, name) for name in asking.takes})
    given = body.input if isinstance(body.input, list) else [body.input]
    found = model.head(task).predict([_request(task, asking, one, options, place) for place, one in enumerate(given)])
    data = [
        {"object": task.saved_as, "index": index, **asking.write_answer(one.value)} for index, one in enumerate(found)
    ]
    heard = [f"input {index}: {one}" for index, prediction in enumerate(found) for one in prediction.warnings]
    return JSONResponse(
        {
            "object": "list",
            "model": model.name,
            "data": data,
            "usage": usage_of(found),
            "warnings": [*warnings, *heard],
        }
    )


def _request(task: TaskSpec, asking: Asking, given: Any, options: AskOptions, place: int) -> Any:
    """The request of one input.

    Raises:
        InputError: the task cannot read it; only the input of a task that was added is not checked before.
    """
    try:
        return asking.read_request(given.model_dump() if isinstance(given, BaseModel) else given, options)
    except InputError:  # its error names the fault
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"input {place} is none that {task.name} reads: {type(error).__name__}: {error}") from error


def usage_of(found: Sequence[Prediction[Any]]) -> dict[str, int]:
    """Tokens read."""
    tokens = sum(prediction.num_tokens for prediction in found)
    return {"prompt_tokens": tokens, "total_tokens": tokens}
