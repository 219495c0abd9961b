"""Turn a request's body into a request to the engine, with a warning for every difference from the request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from lavra.base.errors import InputError
from lavra.base.sampling import DRAWN_NAMES, SAMPLING_NAMES
from lavra.base.types import GenerateRequest, SamplingConfig
from lavra.server.config import ServeConfig
from lavra.server.conversation.history import with_calls
from lavra.server.conversation.structured import constraint_of
from lavra.server.sampling_fields import given_sampling
from lavra.server.schemas import Message, Sampled
from lavra.server.served import ServedModel
from lavra.tokens.tokenizer import Tokenizer

# The tokens before the prefix, before the suffix and at the gap, by the names that models give them.
_GAP_TOKENS: Final = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<PRE>", "<SUF>", "<MID>"),
)


def sampling_of(body: Sampled, usual: Mapping[str, float]) -> SamplingConfig:
    """The sampling settings; fields absent from the request come from the model, else from OpenAI (temperature 1)."""
    named = given_sampling(body)
    own = {name: value for name, value in usual.items() if name in SAMPLING_NAMES}
    chosen = {"temperature": 1.0, **own, **named}
    if chosen["temperature"] == 0:  # greedy: the model's own cuts would have no effect
        chosen = {name: value for name, value in chosen.items() if name in named or name not in DRAWN_NAMES}
    return SamplingConfig(**chosen)


def generate_request(
    body: Sampled,
    prompt: str | tuple[int, ...],
    *,
    usual: Mapping[str, float],
    max_tokens: int,
    n: int,
    logprobs: bool,
    top_logprobs: int,
) -> GenerateRequest:
    """Make a request of a prompt with the body's settings, over the model's own."""
    return GenerateRequest(
        prompt=prompt,
        max_tokens=max_tokens,
        sampling=sampling_of(body, usual),
        stop=stops_of(body.stop),
        stop_token_ids=tuple(body.stop_token_ids or ()),
        ignore_eos=bool(body.ignore_eos),
        include_stop=bool(body.include_stop_str_in_output),
        skip_special_tokens=body.skip_special_tokens is not False,
        n=n,
        truncate_prompt=bool(body.truncate_prompt),
        min_tokens=body.min_tokens or 0,
        logit_bias=bias_of(body.logit_bias),
        logprobs=logprobs,
        top_logprobs=top_logprobs,
        constraint=constraint_of(body),
    )


def stops_of(stop: str | Sequence[str] | None) -> tuple[str, ...]:
    """The stop strings as a sequence, from any form of the field."""
    if stop is None:
        return ()
    return (stop,) if isinstance(stop, str) else tuple(stop)


def bias_of(bias: Mapping[str, float] | None) -> dict[int, float]:
    """Turn the keys of a bias, strings in JSON, into token ids.

    Raises:
        InputError: a key is not a token id.
    """
    found = {}
    for key, value in (bias or {}).items():
        if not key.isdecimal() or len(key) > 9:
            raise InputError(f"logit_bias: {key!r} is not a token id; ask /tokenize for the ids of a text")
        found[int(key)] = value
    return found


def gap_marks(tokenizer: Tokenizer) -> tuple[int, int, int] | None:
    """The tokens before the prefix, before the suffix and at the gap; `None` where the tokenizer has none."""
    for names in _GAP_TOKENS:
        before, after, gap = (tokenizer.id(name) for name in names)
        if before is not None and after is not None and gap is not None:
            return before, after, gap
    return None


def around_gap(model: ServedModel, prefix: str | Sequence[int], suffix: str) -> tuple[int, ...]:
    """The prompt to fill the gap between two texts (Bavarian et al. 2022, PSM).

    Raises:
        InputError: the model was not trained for gaps: its tokenizer has no such tokens.
    """
    marks = gap_marks(model.tokenizer)
    if marks is not None:
        before, after, gap = marks
        left = model.tokenizer.encode(prefix) if isinstance(prefix, str) else prefix
        frame = model.writer().encoding.frame.before
        return (*frame, before, *left, after, *model.tokenizer.encode(suffix), gap)
    raise InputError(
        f"suffix: {model.name} was not trained to fill gaps (its tokenizer has no {_GAP_TOKENS[0][0]}); "
        "leave suffix out, or pretrain with --fim-rate 0.5"
    )


def check_samples(name: str, value: int | None, config: ServeConfig) -> int:
    """The number of completions, checked.

    Raises:
        InputError: the number is over the limit of this server.
    """
    count = 1 if value is None else value
    if count > config.max_samples:
        raise InputError(f"{name} is {count} and this server gives at most {config.max_samples}; ask several times")
    return count


def remaining(model: ServedModel, prompt: Sequence[int]) -> int:
    """The default number of tokens after a prompt; at least one, so that a full prompt is an error."""
    left = max(1, model.max_length - len(prompt))
    return min(left, int(model.usual.get("max_tokens", left)))


def plain_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages as templates read them and as training reads a file's: parts of text joined, arguments as objects.

    Raises:
        InputError: a part is not text, or a tool call is malformed.
    """
    return [_plain(message, number) for number, message in enumerate(messages, start=1)]


def _plain(message: Message, number: int) -> dict[str, Any]:
    return with_calls({**message.model_dump(exclude_none=True), "content": _text(message)}, number)


def _text(message: Message) -> str:
    if message.content is None or isinstance(message.content, str):
        return message.content or ""
    parts = []
    for part in message.content:
        if part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise InputError(f"a message has a part of type {part.get('type')!r}; only text is understood here")
        parts.append(part["text"])
    return "\n".join(parts)
