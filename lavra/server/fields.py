"""Fields of a request that do nothing here: named, never silently dropped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

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


def idle_fields(body: Body, *, strict: bool, idle: frozenset[str] = IDLE) -> list[str]:
    """A warning for each field that had no effect.

    Args:
        body: as the client sent it.
        strict: whether a field nobody knows is an error.
        idle: fields of the body's protocol that do nothing here.

    Raises:
        InputError: a field nobody knows, where that is an error.
    """
    warnings = []
    for path, name, model in _extras(body):
        if name in idle and not path:
            warnings.append(f"{name} has no effect here")
            continue
        known = [*type(model).model_fields, *([] if path else idle)]
        sentence = f"unknown field {path}{name}{nearest(name, known)}"
        if strict:
            raise InputError(sentence)
        warnings.append(f"{sentence}; it had no effect")
    return warnings


def _extras(body: Body) -> Iterator[tuple[str, str, BaseModel]]:
    """Undeclared fields: where, which, of what."""
    for name in body.model_extra or {}:
        yield "", name, body
    for field in ("stream_options", "structured_outputs"):
        options = getattr(body, field, None)
        if isinstance(options, BaseModel):
            for name in options.model_extra or {}:
                yield f"{field}.", name, options
