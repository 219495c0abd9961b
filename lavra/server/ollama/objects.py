"""The objects Ollama's clients read: lines of answers, their durations, errors."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from lavra.base.types import Usage
from lavra.server.conversation.events import ToolCall
from lavra.server.conversation.timing import Stopwatch
from lavra.server.streaming import line


def now() -> str:
    """The present moment, as Ollama writes moments."""
    return moment(datetime.now(UTC))


def moment(when: datetime) -> str:
    """A moment in UTC, as Ollama writes moments."""
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")


def call_objects(calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    """Calls with their arguments as objects."""
    return [
        {"id": call.id, "function": {"index": number, "name": call.name, "arguments": call.given}}
        for number, call in enumerate(calls)
    ]


def account(watch: Stopwatch, usage: Usage) -> dict[str, int]:
    """Tokens and nanoseconds; a model is loaded before it is served, so that takes none of a request's time."""
    reading, writing = watch.parts()
    return {
        "total_duration": reading + writing,
        "load_duration": 0,
        "prompt_eval_count": usage.prompt_tokens,
        "prompt_eval_duration": reading,
        "eval_count": usage.completion_tokens,
        "eval_duration": writing,
    }


def write_error(_: int, error: dict[str, Any]) -> dict[str, Any]:
    """Turn OpenAI's error object into Ollama's: one sentence."""
    return {"error": error["error"]["message"]}


def failed(status: int, error: dict[str, Any]) -> str:
    """The last line of a stream that fails."""
    return line(write_error(status, error))
