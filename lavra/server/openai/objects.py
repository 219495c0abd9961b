"""Turn completions into the objects that OpenAI's clients read."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any, Final

from lavra.base.types import Completion, Usage
from lavra.server import traces
from lavra.server.schemas import StreamOptions
from lavra.server.streaming import event

DONE: Final = "data: [DONE]\n\n"


def new_id(prefix: str) -> str:
    """A unique id in OpenAI's form, also noted in the request's trace."""
    identity, trace = f"{prefix}-{uuid.uuid4().hex}", traces.current()
    if trace is not None:
        trace.answer_id = identity
    return identity


def head(kind: str, identity: str, model: str, fingerprint: str = "") -> dict[str, Any]:
    """The first fields of every answer."""
    begun = {"id": identity, "object": kind, "created": int(time.time()), "model": model}
    return {**begun, "system_fingerprint": fingerprint} if fingerprint else begun


def usage_object(prompts: Sequence[Usage], completions: Sequence[Usage]) -> dict[str, Any]:
    """Tokens read and written; each prompt counts once, however many completions it has."""
    read = sum(usage.prompt_tokens for usage in prompts)
    written = sum(usage.completion_tokens for usage in completions)
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": sum(usage.cached_tokens for usage in prompts)},
        "truncated_tokens": sum(usage.truncated_tokens for usage in prompts),
        "virtual_tokens": sum(usage.virtual_tokens for usage in prompts),
        "response_cached": any(usage.response_cached for usage in prompts),
    }


class RunningUsage:
    """Tokens so far, for the pieces of a stream that asks for them (`stream_options.continuous_usage_stats`).

    Args:
        options: stream options of the request.
        read: tokens of its prompts, as they were sent.
    """

    def __init__(self, options: StreamOptions | None, read: int) -> None:
        self.wanted = options is not None and options.continuous_usage_stats
        self._read, self._written = read, 0

    def add(self, tokens: int) -> None:
        """Add to the number of tokens written."""
        self._written += tokens

    def fields(self) -> dict[str, Any]:
        """The usage fields of a piece; empty where the request does not ask for them."""
        if not self.wanted:
            return {}
        total = self._read + self._written
        counts = {"prompt_tokens": self._read, "completion_tokens": self._written, "total_tokens": total}
        return {"usage": counts}


def all_warnings(first: Sequence[str], completions: Sequence[Completion]) -> list[str]:
    """The warnings in order, without repetitions."""
    return list(dict.fromkeys([*first, *(warning for one in completions for warning in one.warnings)]))


def failed(_: int, error: dict[str, Any]) -> str:
    """The end of a stream that fails: the error, and the mark of the end."""
    return event(error) + DONE
