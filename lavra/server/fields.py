"""Fields of a request without effect: the answer names them, so none is dropped silently.

For a request with thousands of them, the answer names the first and counts the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from pydantic import BaseModel

from lavra.base.errors import InputError, nearest
from lavra.server.schemas import Body

# Fields of OpenAI's that have no meaning on a machine of one's own, or none yet.
IDLE: Final = frozenset(
    {
        "audio", "metadata", "modalities", "prediction",
        "prompt_cache_key", "prompt_cache_retention", "reasoning_effort", "safety_identifier",
        "service_tier", "store", "user", "verbosity", "web_search_options",
    }
)  # fmt: skip
MOST_NAMED: Final = 64
"""Fields without effect that an answer names one by one; more than any protocol has of its own."""

_MOST_CHARACTERS: Final = 100  # characters shown of a name
Idle = TypeVar("Idle")


def named(fields: Sequence[Idle], say: Callable[[Idle], str]) -> list[str]:
    """A sentence about each of the first fields, and one with the number of the others."""
    left = len(fields) - MOST_NAMED
    others = [f"{left:,} more fields had no effect"] if left > 0 else []
    return [*map(say, fields[:MOST_NAMED]), *others]


def short(name: str) -> str:
    """A field's name, cut at the length of the longest allowed name."""
    return name if len(name) <= _MOST_CHARACTERS else f"{name[:_MOST_CHARACTERS]}…"


def idle_fields(body: Body, *, strict: bool, idle: frozenset[str] = IDLE) -> list[str]:
    """A warning for each field that had no effect.

    Args:
        body: body as the client sent it.
        strict: whether an unknown field is an error.
        idle: fields of the body's protocol without effect here.

    Raises:
        InputError: a field is unknown, where that is an error.
    """

    def say(extra: tuple[str, str, BaseModel]) -> str:
        path, name, model = extra
        if name in idle and not path:
            return f"{name} has no effect here"
        known = [*type(model).model_fields, *([] if path else idle)]
        sentence = f"unknown field {path}{short(name)}{nearest(short(name), known)}"
        if strict:
            raise InputError(sentence)
        return f"{sentence}; it had no effect"

    return named(list(_extras(body)), say)


def _extras(body: Body) -> Iterator[tuple[str, str, BaseModel]]:
    """The undeclared fields: path, name, and the model that holds each."""
    for name in body.model_extra or {}:
        yield "", name, body
    for field in ("stream_options", "structured_outputs"):
        options = getattr(body, field, None)
        if isinstance(options, BaseModel):
            for name in options.model_extra or {}:
                yield f"{field}.", name, options
