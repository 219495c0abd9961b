"""A completion while it is written: tokens come in, text and at last a `Completion` go out.

It knows no model and no torch: the decoding loop of this process and an engine's scheduler push tokens alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lavra.base.types import Completion, Delta, FinishReason, Usage
from lavra.generate.planned_request import PlannedRequest
from lavra.tokens.stream import TextStream
from lavra.tokens.tokenizer import Tokenizer

_PROMPT_TAIL = 16  # tokens of the prompt that decide how the first written tokens are spelled (a leading space)


class CompletionBuilder:
    """A completion while it is written.

    Args:
        plan: the request behind it.
        sample: index among the request's `n` completions.
        tokenizer: makes text of its tokens.
        stop_ids: tokens that end the model's texts.
    """

    def __init__(self, plan: PlannedRequest, sample: int, tokenizer: Tokenizer, stop_ids: frozenset[int]) -> None:
        self.plan = plan
        self.sample = sample
        self.tokens: list[int] = []
        self.logprobs: list[float] = []
        self.top_logprobs: list[tuple[tuple[int, float], ...]] = []
        self.cached_tokens = 0
        self.warnings: tuple[str, ...] = ()
        self.finish_reason: FinishReason | None = None
        self.stop_ids, self._tells_top = plan.stop_ids(stop_ids), plan.request.top_logprobs > 0
        self._max_tokens, self._may_stop = plan.max_tokens, bool(plan.request.stop)
        self._pieces: list[str] = []
        self._stream = open_stream(tokenizer, plan)

    def push(
        self, token: int, logprob: float | None, top: tuple[tuple[int, float], ...] = (), *, last: bool = False
    ) -> Delta:
        """Add the next token; the delta carries the completion if this token was the last.

        Args:
            token: its id.
            logprob: its natural-log probability, `None` if the request does not want it.
            top: the likeliest ids in its place, if the request wants them.
            last: whether this token ends the text.
        """
        self.tokens.append(token)
        logprobs: tuple[float, ...] = ()
        if logprob is not None:
            self.logprobs.append(logprob)
            logprobs = (logprob,)
        if self._tells_top:
            self.top_logprobs.append(top)
        piece = ""
        if token in self.stop_ids:
            self.finish_reason = FinishReason.STOP
            piece = self._stream.push([token]) if self.plan.request.include_stop else ""
        else:
            piece = self._stream.push_one(token)
            if last or (self._may_stop and self._stream.stopped):
                self.finish_reason = FinishReason.STOP
            elif len(self.tokens) >= self._max_tokens:
                self.finish_reason = FinishReason.LENGTH
        tops = (top,) if self._tells_top else ()
        if self.finish_reason is not None:
            return self._last(piece, (token,), logprobs, tops)
        if piece:
            self._pieces.append(piece)
        return Delta(text=piece, tokens=(token,), logprobs=logprobs, top_logprobs=tops)

    def cancel(self) -> Delta:
        """End the completion here."""
        self.finish_reason = FinishReason.CANCELLED
        return self._last("", (), (), ())

    def _last(
        self,
        piece: str,
        tokens: tuple[int, ...],
        logprobs: tuple[float, ...],
        tops: tuple[tuple[tuple[int, float], ...], ...],
    ) -> Delta:
        completion = self._finish(piece)
        return Delta(text=self._pieces[-1], tokens=tokens, logprobs=logprobs, top_logprobs=tops, completion=completion)

    def _finish(self, piece: str) -> Completion:
        piece += self._stream.finish()
        if self._stream.stopped:  # perhaps only now: half a character at the very end may belong to a stop string
            self.finish_reason = FinishReason.STOP
        self._pieces.append(piece)
        assert self.finish_reason is not None
        done = make_completion(self.plan, "".join(self._pieces), self.tokens, self.logprobs, self.finish_reason)
        return replace(
            done,
            warnings=(*done.warnings, *self.warnings),
            top_logprobs=tuple(self.top_logprobs),
            usage=replace(done.usage, cached_tokens=self.cached_tokens),
            stop_string=self._stream.stop_string,
        )


def mean_logprob(completion: Completion) -> float:
    """The mean log-probability of a token, which ranks completions of one prompt without a penalty for long texts."""
    return sum(completion.logprobs) / max(1, len(completion.logprobs))


def open_stream(tokenizer: Tokenizer, plan: PlannedRequest) -> TextStream:
    """An incremental detokenizer that stops at the request's stop strings."""
    request = plan.request
    return TextStream(
        tokenizer,
        stop=request.stop,
        include_stop=request.include_stop,
        skip_special_tokens=request.skip_special_tokens,
        prompt=plan.prompt[-_PROMPT_TAIL:],
    )


def make_completion(
    plan: PlannedRequest, text: str, tokens: Sequence[int], logprobs: Sequence[float], reason: FinishReason
) -> Completion:
    """The result of one request, with its usage."""
    return Completion(
        text=text,
        tokens=tuple(tokens),
        logprobs=tuple(logprobs),
        finish_reason=reason,
        usage=Usage(
            prompt_tokens=plan.num_prompt_tokens,
            completion_tokens=len(tokens),
            truncated_tokens=plan.truncated_tokens,
        ),
        warnings=plan.warnings,
    )
