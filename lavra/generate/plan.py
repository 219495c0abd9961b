"""What a request asks of a model, settled before anything is computed.

Text becomes token ids with the special tokens the model was trained on, settings are checked, the prompt is
measured against the context, and whatever the caller did not spell out (a clamp, a truncation, a seed) is
written down as a warning.  A prompt that does not fit is an error unless truncation was asked for.

Deliberately absent: chat templates (`lavra.api`), and any limit on what a server's users may ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lavra.base.errors import ConfigError, ContextLengthError, InputError
from lavra.base.types import GenerateRequest, SamplingConfig
from lavra.generate.settings import check_sampling, settle_seed
from lavra.tokens.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class PromptFrame:
    """The special tokens a tokenizer puts around a text.

    Attributes:
        before: such as `<s>` or `[CLS]`.
        after: such as `</s>` or `[SEP]`.
    """

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()


def special_frame(tokenizer: Tokenizer) -> PromptFrame:
    """Find the frame by comparing one text encoded with and without special tokens."""
    plain, full = tokenizer.encode("a"), tokenizer.encode("a", add_special_tokens=True)
    for start in range(len(full) - len(plain) + 1):
        if full[start : start + len(plain)] == plain:
            return PromptFrame(before=tuple(full[:start]), after=tuple(full[start + len(plain) :]))
    raise InputError(
        f"the tokenizer encodes 'a' as {plain}, but as {full} with special tokens; "
        "its post-processor changes the text itself, which no model of ours can be given"
    )


@dataclass(frozen=True, kw_only=True)
class PromptReading:
    """How a model reads: what planning must know of it.

    Attributes:
        tokenizer: turns text into ids.
        frame: the special tokens around a text.
        context: most tokens a sequence may have, prompt and completion together; None has no bound.
        source_context: most tokens the encoder may read; None has no bound.
        decoder_start: the id an encoder-decoder starts writing from; None for a decoder.
        vocab_size: ids a prompt may use.
    """

    tokenizer: Tokenizer
    frame: PromptFrame
    context: int | None
    source_context: int | None = None
    decoder_start: int | None = None
    vocab_size: int

    def prompt_ids(self, text: str) -> list[int]:
        """A text as a decoder reads it: the special tokens the tokenizer puts in front, none behind."""
        ids = [*self.frame.before, *self.tokenizer.encode(text)]
        if ids or self.tokenizer.bos_id is None:
            return ids
        return [self.tokenizer.bos_id]

    def check_ids(self, ids: Sequence[int]) -> None:
        """Refuse ids the model has no embedding for.

        Raises:
            InputError: naming the first one.
        """
        outside = next((token for token in ids if not 0 <= token < self.vocab_size), None)
        if outside is not None:
            raise InputError(
                f"token id {outside} is outside the vocabulary 0..{self.vocab_size - 1}; "
                "check that the tokenizer is this model's own"
            )

    def num_pinned(self, prompt: Sequence[int]) -> int:
        """Leading tokens that truncation keeps: the one every text starts with, on which attention leans."""
        return int(prompt[0] in (self.tokenizer.bos_id, self.decoder_start))

    def source_ids(self, text: str) -> list[int]:
        """A text as an encoder reads it, with all special tokens."""
        return [*self.frame.before, *self.tokenizer.encode(text), *self.frame.after]


@dataclass(frozen=True, kw_only=True)
class DecodingPlan:
    """A request ready to run.

    Attributes:
        request: what was asked.
        prompt: ids the decoder reads before it writes, at least one.
        source: ids the encoder reads; None for a decoder.
        max_tokens: most tokens to write, after clamping to the context.
        sampling: with a seed wherever one is needed.
        truncated_tokens: prompt (or source) tokens dropped because the caller allowed it.
        warnings: what the caller did not spell out.
    """

    request: GenerateRequest
    prompt: tuple[int, ...]
    source: tuple[int, ...] | None
    max_tokens: int
    sampling: SamplingConfig
    truncated_tokens: int
    warnings: tuple[str, ...]

    def stop_ids(self, usual: frozenset[int]) -> frozenset[int]:
        """Tokens that end this text, where `usual` end the model's."""
        own = frozenset(self.request.stop_token_ids)
        return own if self.request.ignore_eos else usual | own

    @property
    def num_prompt_tokens(self) -> int:
        """Tokens the model reads for this request."""
        return len(self.prompt) + len(self.source or ())


def plan_request(request: GenerateRequest, reading: PromptReading) -> DecodingPlan:
    """Check a request and settle everything about it.

    Raises:
        ConfigError: a setting is out of range.
        InputError: the prompt is empty, or names tokens that do not exist.
        ContextLengthError: the prompt leaves no room in the context, and truncation was not asked for.
    """
    check_request(request)
    _check_named_ids("logit_bias", request.logit_bias, reading)
    _check_named_ids("stop_token_ids", request.stop_token_ids, reading)
    prompt, source, warnings = _read(request, reading)
    truncated = 0
    if source is not None:
        source, dropped = _fit_source(source, reading, request.truncate_prompt)
        truncated += dropped
    prompt, dropped = _fit_prompt(prompt, reading, request)
    truncated += dropped
    if truncated:
        warnings += (
            f"the {truncated} oldest tokens of the prompt were dropped to fit the context of {reading.context} tokens",
        )
    max_tokens, clamped = _fit_completion(len(prompt), reading.context, request.max_tokens)
    sampling, drawn = settle_seed(request.sampling)
    return DecodingPlan(
        request=request,
        prompt=tuple(prompt),
        source=None if source is None else tuple(source),
        max_tokens=max_tokens,
        sampling=sampling,
        truncated_tokens=truncated,
        warnings=warnings + clamped + (drawn if request.num_beams == 1 else ()) + _idle_settings(request),
    )


def check_request(request: GenerateRequest) -> None:
    """Refuse settings out of range.

    Raises:
        ConfigError: naming the setting, its value and the bound.
    """
    check_sampling(request.sampling)
    for name in ("max_tokens", "n", "num_beams"):
        if getattr(request, name) < 1:
            raise ConfigError(f"{name}={getattr(request, name)} is under 1; give 1 or more")
    if request.num_beams > 1 and request.n > request.num_beams:
        raise ConfigError(
            f"n={request.n} is over num_beams={request.num_beams}; beam search returns at most one text a beam"
        )
    if not 0 <= request.min_tokens <= request.max_tokens:
        raise ConfigError(
            f"min_tokens={request.min_tokens} is not between 0 and max_tokens={request.max_tokens}; lower it"
        )
    if request.top_logprobs < 0:
        raise ConfigError(f"top_logprobs={request.top_logprobs} is under 0; 0 tells none")
    if request.ignore_eos and request.constraint is not None:
        raise ConfigError("ignore_eos is set and a constraint, whose text ends with the model's own end; leave one out")
    if any(not stop for stop in request.stop):
        raise ConfigError("stop holds an empty string, which would end every text at once; leave it out")


def _check_named_ids(name: str, ids: Iterable[int], reading: PromptReading) -> None:
    outside = next((token for token in ids if not 0 <= token < reading.vocab_size), None)
    if outside is not None:
        raise InputError(f"{name} names token {outside}; the vocabulary is 0 to {reading.vocab_size - 1}")


def _idle_settings(request: GenerateRequest) -> tuple[str, ...]:
    """Settings that this way of decoding does not look at."""
    warnings: tuple[str, ...] = ()
    if request.num_beams > 1 and request.sampling != SamplingConfig():
        warnings += ("beam search follows the model's own distribution: the sampling settings had no effect",)
    if request.num_beams == 1 and request.n > 1 and request.sampling.temperature == 0:
        warnings += (
            f"temperature is 0 (greedy), so the {request.n} completions are the same; set a temperature or num_beams",
        )
    return warnings


def _read(request: GenerateRequest, reading: PromptReading) -> tuple[list[int], list[int] | None, tuple[str, ...]]:
    """Prompt ids, source ids and warnings, by kind of model."""
    source: list[int] | None = None
    if reading.decoder_start is None:
        if request.given is not None:
            raise InputError("given is for encoder-decoders, and this model is a decoder; put its text in the prompt")
        prompt = _ids(request.prompt, reading.prompt_ids)
    elif request.given is None:
        prompt, source = [reading.decoder_start], _ids(request.prompt, reading.source_ids)
    else:
        prompt = [reading.decoder_start, *_ids(request.prompt, reading.tokenizer.encode)]
        source = reading.source_ids(request.given)
    if not prompt or source == []:
        raise InputError(
            "the prompt is empty and this tokenizer has no beginning-of-text token; give at least one token"
        )
    return prompt, source, _unknown_warning([*prompt, *(source or ())], reading)


def _ids(prompt: str | tuple[int, ...], encode: Callable[[str], list[int]]) -> list[int]:
    return encode(prompt) if isinstance(prompt, str) else list(prompt)


def _unknown_warning(ids: list[int], reading: PromptReading) -> tuple[str, ...]:
    reading.check_ids(ids)
    unknown = reading.tokenizer.num_unknown(ids)
    return (f"{unknown} tokens of the prompt are unknown to the tokenizer",) if unknown else ()


def _fit_source(source: list[int], reading: PromptReading, truncate: bool) -> tuple[list[int], int]:
    """The source within the encoder's context; truncation keeps the newest tokens."""
    if reading.source_context is None or len(source) <= reading.source_context:
        return source, 0
    _refuse_unless(truncate, len(source), reading.source_context)
    return source[-reading.source_context :], len(source) - reading.source_context


def _fit_prompt(prompt: list[int], reading: PromptReading, request: GenerateRequest) -> tuple[list[int], int]:
    """The prompt with room for at least one token; truncation makes room for max_tokens, up to half the context."""
    context = reading.context
    if context is None or len(prompt) < context:
        return prompt, 0
    _refuse_unless(request.truncate_prompt, len(prompt), context)
    keep = max(context - request.max_tokens, context // 2, 1)
    pinned = min(reading.num_pinned(prompt), keep - 1)
    return prompt[:pinned] + prompt[len(prompt) - keep + pinned :], len(prompt) - keep


def _refuse_unless(truncate: bool, length: int, context: int) -> None:
    if not truncate:
        raise ContextLengthError(
            f"the prompt has {length} tokens and the model's context {context} (the completion included); "
            "shorten it, or pass truncate_prompt=True to drop its oldest tokens"
        )


def _fit_completion(prompt: int, context: int | None, max_tokens: int) -> tuple[int, tuple[str, ...]]:
    if context is None or prompt + max_tokens <= context:
        return max_tokens, ()
    room = context - prompt
    warning = (
        f"max_tokens was lowered from {max_tokens} to {room}: the prompt has {prompt} tokens and the context {context}"
    )
    return room, (warning,)
