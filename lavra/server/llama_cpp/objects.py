"""The objects llama.cpp's clients read: ends of texts, timings, probabilities, errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from lavra.base.types import Completion, Delta
from lavra.server.conversation.requests import sampling_of, stops_of
from lavra.server.conversation.run import ChatRun
from lavra.server.conversation.timing import Stopwatch
from lavra.server.llama_cpp.schemas import NativeBody
from lavra.server.openai.logprobs import chat_logprobs
from lavra.server.sampling_fields import llama_sampling
from lavra.server.streaming import event

_MILLION: Final = 1_000_000
_MISSING: Final = object()
_ERROR_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    503: "unavailable_error",
}


def ending(run: ChatRun, done: Completion) -> dict[str, Any]:
    """The fields of a text's end, with the numbers of tokens read and written."""
    word = done.stop_string if done.stop_string in stops_of(run.body.stop) else None
    kind = "limit" if done.finish_reason.value == "length" else "eos" if word is None else "word"
    return {
        "stop_type": kind,
        "stopping_word": word or "",
        "tokens_predicted": done.usage.completion_tokens,
        "tokens_evaluated": done.usage.prompt_tokens,
        "tokens_cached": done.usage.cached_tokens,
        "truncated": done.usage.truncated_tokens > 0 or (kind == "limit" and _is_full(run, done)),
    }


def _is_full(run: ChatRun, done: Completion) -> bool:
    """Whether the context had no room for another token."""
    return done.usage.prompt_tokens + done.usage.completion_tokens >= run.model.max_length


def timings(watch: Stopwatch, done: Completion) -> dict[str, float]:
    """Milliseconds until the first token, waiting for a place included, and from there to the end."""
    reading, writing = (one / _MILLION for one in watch.parts())
    read, written = done.usage.prompt_tokens, done.usage.completion_tokens
    fresh = read - done.usage.cached_tokens
    later = max(1, written - 1)  # the first one belongs to reading
    return {
        "cache_n": done.usage.cached_tokens,
        "prompt_n": fresh,
        "prompt_ms": reading,
        "prompt_per_token_ms": reading / max(1, fresh),
        "prompt_per_second": 1000 * fresh / reading if reading else 0.0,
        "predicted_n": written,
        "predicted_ms": writing,
        "predicted_per_token_ms": writing / later,
        "predicted_per_second": 1000 * later / writing if writing else 0.0,
    }


def probabilities(run: ChatRun, piece: Delta) -> dict[str, Any]:
    """Log-probabilities of a piece's tokens, each with its id, where they are asked for."""
    if not run.body.logprobs:
        return {}
    entries = chat_logprobs(run.model.tokenizer, piece.tokens, piece.logprobs, piece.top_logprobs, piece.text)[
        "content"
    ]
    tops = [*piece.top_logprobs, *[()] * (len(entries) - len(piece.top_logprobs))]
    return {
        "completion_probabilities": [
            {
                "id": token,
                **entry,
                "top_logprobs": [
                    {"id": one, **shown} for (one, _), shown in zip(top, entry["top_logprobs"], strict=True)
                ],
            }
            for token, entry, top in zip(piece.tokens, entries, tops, strict=True)
        ]
    }


def settings(run: ChatRun, body: NativeBody) -> dict[str, Any]:
    """The `generation_settings`: the settings in effect, with the model's own."""
    sampling = sampling_of(run.body, run.model.usual)
    return {
        "n_ctx": run.model.max_length,
        "n_predict": body.n_predict,
        **llama_sampling(sampling),
        "stop": list(stops_of(run.body.stop)),
        "ignore_eos": bool(run.body.ignore_eos),
        "logit_bias": [{"token": int(token), "bias": bias} for token, bias in (run.body.logit_bias or {}).items()],
        "grammar": run.body.grammar or "",
        "n_probs": body.n_probs,
        "stream": bool(run.body.stream),
    }


def only(answer: dict[str, Any], fields: Sequence[str] | None) -> dict[str, Any]:
    """The requested fields of an answer, those inside objects by their path; warnings stay."""
    if not fields:
        return answer
    found = {"warnings": answer["warnings"]} if answer["warnings"] else {}
    for path in fields:
        value: Any = answer
        for name in path.split("/"):
            value = value.get(name, _MISSING) if isinstance(value, dict) else _MISSING
        if value is not _MISSING:
            found[path] = value
    return found


def write_error(status: int, error: dict[str, Any]) -> dict[str, Any]:
    """Turn OpenAI's error object into llama.cpp's."""
    usual = "invalid_request_error" if status < 500 else "server_error"
    kind = _ERROR_TYPES.get(status, usual)
    if error["error"]["code"] == "context_length_exceeded":
        kind = "exceed_context_size_error"
    return {"error": {"code": status, "message": error["error"]["message"], "type": kind}}


def failed(status: int, error: dict[str, Any]) -> str:
    """The last event of a stream that fails."""
    return event(write_error(status, error))
