"""A generation request, checked and completed before anything is computed.

Text becomes token ids with the special tokens the model was trained on, parameters are checked, the prompt is
measured against the context, and a warning names every decision that the caller left open: a clamp, a truncation, a
seed.  A prompt that does not fit is an error unless the request allows truncation.

Deliberately absent: chat templates (`lavra.api`), and limits on requests of a server's users.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lavra.base.errors import ContextLengthError, InputError
from lavra.base.sampling import check_request, settle_seed
from lavra.base.types import GenerateRequest, SamplingConfig
from lavra.generate.prompt_encoding import PromptEncoding


@dataclass(frozen=True, kw_only=True)
class PlannedRequest:
    """A request ready to run.

    Attributes:
        request: the original request.
        prompt: ids the decoder reads before it writes, at least one.
        source: ids the encoder reads; None for a decoder.
        max_tokens: most tokens to write, after clamping to the context.
        sampling: the sampling settings, with a seed if they need a seed.
        truncated_tokens: number of prompt (or source) tokens dropped, as the caller allowed.
        warnings: decisions that the caller left open.
    """

    request: GenerateRequest
    prompt: tuple[int, ...]
    source: tuple[int, ...] | None
    max_tokens: int
    sampling: SamplingConfig
    truncated_tokens: int
    warnings: tuple[str, ...]

    def stop_ids(self, usual: frozenset[int]) -> frozenset[int]:
        """Tokens that end this text, given the `usual` end tokens of the model."""
        own = frozenset(self.request.stop_token_ids)
        return own if self.request.ignore_eos else usual | own

    @property
    def num_prompt_tokens(self) -> int:
        """Number of tokens that the model reads for this request."""
        return len(self.prompt) + len(self.source or ())


def plan_request(request: GenerateRequest, encoding: PromptEncoding) -> PlannedRequest:
    """Check a request and decide all open settings.

    Raises:
        ConfigError: a setting is out of range.
        InputError: the prompt is empty, or has unknown token ids.
        ContextLengthError: the prompt leaves no room in the context, and the request does not allow truncation.
    """
    check_request(request)
    _check_named_ids("logit_bias", request.logit_bias, encoding)
    _check_named_ids("stop_token_ids", request.stop_token_ids, encoding)
    prompt, source, warnings = _read(request, encoding)
    truncated = 0
    if source is not None:
        source, dropped = _fit_source(source, encoding, request.truncate_prompt)
        truncated += dropped
    prompt, dropped = _fit_prompt(prompt, encoding, request)
    truncated += dropped
    if truncated:
        warnings += (
            f"the {truncated} oldest tokens of the prompt were dropped to fit the context of {encoding.context} tokens",
        )
    max_tokens, clamped = _fit_completion(len(prompt), encoding.context, request.max_tokens)
    sampling, drawn = settle_seed(request.sampling)
    return PlannedRequest(
        request=request,
        prompt=tuple(prompt),
        source=None if source is None else tuple(source),
        max_tokens=max_tokens,
        sampling=sampling,
        truncated_tokens=truncated,
        warnings=warnings + clamped + (drawn if request.num_beams == 1 else ()) + _idle_settings(request),
    )


def _check_named_ids(name: str, ids: Iterable[int], encoding: PromptEncoding) -> None:
    outside = next((token for token in ids if not 0 <= token < encoding.vocab_size), None)
    if outside is not None:
        raise InputError(f"{name} names token {outside}; the vocabulary is 0 to {encoding.vocab_size - 1}")


def _idle_settings(request: GenerateRequest) -> tuple[str, ...]:
    """Settings that have no effect in this way of decoding."""
    warnings: tuple[str, ...] = ()
    if request.num_beams > 1 and request.sampling != SamplingConfig():
        warnings += ("beam search follows the model's own distribution: the sampling settings had no effect",)
    if request.num_beams == 1 and request.n > 1 and request.sampling.temperature == 0:
        warnings += (
            f"temperature is 0 (greedy), so the {request.n} completions are the same; set a temperature or num_beams",
        )
    return warnings


def _read(request: GenerateRequest, encoding: PromptEncoding) -> tuple[list[int], list[int] | None, tuple[str, ...]]:
    """Prompt ids, source ids and warnings, by kind of model."""
    source: list[int] | None = None
    if encoding.decoder_start is None:
        if request.given is not None:
            raise InputError("given is for encoder-decoders, and this model is a decoder; put its text in the prompt")
        prompt = _ids(request.prompt, encoding.prompt_ids)
    elif request.given is None:
        prompt, source = [encoding.decoder_start], _ids(request.prompt, encoding.source_ids)
    else:
        prompt = [encoding.decoder_start, *_ids(request.prompt, encoding.tokenizer.encode)]
        source = encoding.source_ids(request.given)
    if not prompt or source == []:
        raise InputError(
            "the prompt is empty and this tokenizer has no beginning-of-text token; give at least one token"
        )
    return prompt, source, _unknown_warning([*prompt, *(source or ())], encoding)


def _ids(prompt: str | tuple[int, ...], encode: Callable[[str], list[int]]) -> list[int]:
    return encode(prompt) if isinstance(prompt, str) else list(prompt)


def _unknown_warning(ids: list[int], encoding: PromptEncoding) -> tuple[str, ...]:
    encoding.check_ids(ids)
    unknown = encoding.tokenizer.num_unknown(ids)
    return (f"{unknown} tokens of the prompt are unknown to the tokenizer",) if unknown else ()


def _fit_source(source: list[int], encoding: PromptEncoding, truncate: bool) -> tuple[list[int], int]:
    """The source within the encoder's context; truncation keeps the newest tokens."""
    if encoding.source_context is None or len(source) <= encoding.source_context:
        return source, 0
    _refuse_unless(truncate, len(source), encoding.source_context)
    return source[-encoding.source_context :], len(source) - encoding.source_context


def _fit_prompt(prompt: list[int], encoding: PromptEncoding, request: GenerateRequest) -> tuple[list[int], int]:
    """The prompt with room for at least one token; truncation makes room for max_tokens, up to half the context."""
    context = encoding.context
    if context is None or len(prompt) < context:
        return prompt, 0
    _refuse_unless(request.truncate_prompt, len(prompt), context)
    keep = max(context - request.max_tokens, context // 2, 1)
    pinned = min(encoding.num_pinned(prompt), keep - 1)
    return prompt[:pinned] + prompt[len(prompt) - keep + pinned :], len(prompt) - keep


def _refuse_unless(truncate: bool, length: int, context: int) -> None:
    if not truncate:
        raise ContextLengthError(
            f"the prompt has {length} tokens and the model's context {context} (the completion included); "
            "shorten it, or set `truncate_prompt` to drop its oldest tokens"
        )


def _fit_completion(prompt: int, context: int | None, max_tokens: int) -> tuple[int, tuple[str, ...]]:
    if context is None or prompt + max_tokens <= context:
        return max_tokens, ()
    left = context - prompt
    warning = (
        f"max_tokens was lowered from {max_tokens} to {left}: the prompt has {prompt} tokens and the context {context}"
    )
    return left, (warning,)
