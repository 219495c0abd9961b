"""The response object, and its fields from the request."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lavra.base.types import Completion, Usage
from lavra.server import traces
from lavra.server.responses.items import new_item_id
from lavra.server.responses.schemas import Item, ResponseBody


@dataclass(frozen=True, kw_only=True)
class ResponseHead:
    """The fields of a response that are known before its answer.

    Attributes:
        id: id of the response.
        created: Unix seconds.
        body: the request.
        model: name of the served model, or of the index.
        temperature: temperature in use.
        top_p: top_p in use.
        kept: whether the response is kept after it was sent.
        warnings: warnings about the request.
    """

    id: str
    created: int = field(default_factory=lambda: int(time.time()))
    body: ResponseBody
    model: str
    temperature: float | None
    top_p: float | None
    kept: bool
    warnings: tuple[str, ...] = ()


def new_response_id() -> str:
    """A unique id in OpenAI's form, also noted in the request's trace."""
    identity, trace = new_item_id("resp"), traces.current()
    if trace is not None:
        trace.answer_id = identity
    return identity


def response_object(head: ResponseHead, status: str, output: Sequence[Item] = ()) -> dict[str, Any]:
    """A response object with the given status and output."""
    body = head.body
    return {
        "id": head.id,
        "object": "response",
        "created_at": head.created,
        "status": status,
        "background": bool(body.background),
        "completed_at": int(time.time()) if status == "completed" else None,
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "metadata": body.metadata or {},
        "model": head.model,
        "output": list(output),
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": body.previous_response_id,
        "reasoning": {"effort": None, "summary": None},
        "store": head.kept,
        "temperature": head.temperature,
        "text": {"format": _format(body)},
        "tool_choice": body.tool_choice or "auto",
        "tools": [_tool(tool) for tool in body.model_dump()["tools"] or ()],
        "top_logprobs": body.top_logprobs or 0,
        "top_p": head.top_p,
        "truncation": "auto" if body.truncation == "auto" or body.truncate_prompt else "disabled",
        "usage": None,
        "warnings": list(head.warnings),
    }


def _format(body: ResponseBody) -> dict[str, Any]:
    if body.text is None or body.text.format is None:
        return {"type": "text"}
    given = body.text.format.model_dump(by_alias=True, exclude_none=True)
    return {"name": "answer", **given} if given["type"] == "json_schema" else given


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    return {"parameters": None, "strict": None, **tool}


def usage_of(completion: Completion) -> dict[str, Any]:
    """Tokens read and written."""
    usage: Usage = completion.usage
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "truncated_tokens": usage.truncated_tokens,
        "virtual_tokens": usage.virtual_tokens,
        "response_cached": usage.response_cached,
    }
