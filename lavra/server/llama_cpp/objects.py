"""The objects llama.cpp's clients read: ends of texts, timings, probabilities, errors."""

from __future__ import annotations

from typing import Any, Final

from lavra.base.types import Completion, Delta
from lavra.server.conversation.requests import stops_of
from lavra.server.conversation.run import ChatRun
from lavra.server.conversation.timing import Stopwatch
from lavra.server.openai.logprobs import chat_logprobs
from lavra.server.streaming import event

_MILLION: Final = 1_000_000
_ERROR_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    503: "unavailable_error",
}


def ending(run: ChatRun, done: Completion) -> dict[str, Any]:
    """How a text ended, and what was read and written."""
    word = done.stop_string if done.stop_string in stops_of(run.body.stop) else None
    kind = "limit" if done.finish_reason.value == "length" else "eos" if word is None else "word"
    return {
        "stop_type": kind,
        "stopping_word": word or "",
        "tokens_predicted": done.usage.completion_tokens,
        "tokens_evaluated": done.usage.prompt_tokens,
        "tokens_cached": done.usage.cached_tokens,
        "truncated": done.usage.truncated_tokens > 0,
    }


def timings(watch: Stopwatch, done: Completion) -> dict[str, float]:
    """Milliseconds until the first token, waiting for a place included, and from there to the end."""
    reading, writing = (one / _MILLION for one in watch.parts())
    read, written = done.usage.prompt_tokens, done.usage.completion_tokens
    return {
        "cache_n": done.usage.cached_tokens,
        "prompt_n": read - done.usage.cached_tokens,
        "prompt_ms": reading,
        "predicted_n": written,
        "predicted_ms": writing,
        "predicted_per_token_ms": writing / max(1, written - 1),  # the first one belongs to reading
    }


def probabilities(run: ChatRun, piece: Delta) -> dict[str, Any]:
    """Log-probabilities of a piece's tokens, each with its id, where they are asked for."""
    if not run.body.logprobs:
        return {}
    told = chat_logprobs(run.model.tokenizer, piece.tokens, piece.logprobs, piece.top_logprobs, piece.text)["content"]
    tops = [*piece.top_logprobs, *[()] * (len(told) - len(piece.top_logprobs))]
    return {
        "completion_probabilities": [
            {
                "id": token,
                **entry,
                "top_logprobs": [
                    {"id": one, **shown} for (one, _), shown in zip(top, entry["top_logprobs"], strict=True)
                ],
            }
            for token, entry, top in zip(piece.tokens, told, tops, strict=True)
        ]
    }


def write_error(status: int, error: dict[str, Any]) -> dict[str, Any]:
    """llama.cpp's error object of OpenAI's."""
    usual = "invalid_request_error" if status < 500 else "server_error"
    kind = _ERROR_TYPES.get(status, usual)
    return {"error": {"code": status, "message": error["error"]["message"], "type": kind}}


def failed(status: int, error: dict[str, Any]) -> str:
    """The last event of a stream that fails."""
    return event(write_error(status, error))
