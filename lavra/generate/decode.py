"""The decoding loop: choose a token for every row, let finished rows go, read the chosen ones, again.

It knows models only as a `DecodingState` (sequences a model is in the middle of reading) and texts only as a
`TextStream`, so the same loop serves decoders, encoder-decoders and the scripted model of the tests; both
`generate` and `stream` are this one loop, drained at once or piece by piece.

Deliberately absent: admitting new requests into a running batch (that is an engine's work) and beam search
(`lavra.generate.beam`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from lavra.base.types import Completion, Delta, FinishReason, Usage
from lavra.generate.plan import Plan
from lavra.generate.sampling import Sampler
from lavra.tokens.stream import TextStream
from lavra.tokens.tokenizer import Tokenizer

_PROMPT_TAIL = 16  # tokens of the prompt that decide how the first written ones are spelled (a leading space)


class DecodingState(Protocol):
    """Sequences a model is in the middle of reading, one a row."""

    def advance(self, tokens: Tensor) -> Tensor:
        """Read one more token a row, (B,) int64, and return the logits of the next, (B,V)."""
        ...

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order; a row may be taken more than once."""
        ...


class Writing:
    """One completion being written.

    Args:
        plan: the request behind it.
        sample: which of the request's `n` completions it is.
        tokenizer: makes text of its tokens.
        stop_ids: tokens that end a text.
    """

    def __init__(self, plan: Plan, sample: int, tokenizer: Tokenizer, stop_ids: frozenset[int]) -> None:
        self.plan = plan
        self.sample = sample
        self.tokens: list[int] = []
        self.logprobs: list[float] = []
        self.finish_reason: FinishReason | None = None
        self._stop_ids = stop_ids
        self._pieces: list[str] = []
        self._stream = open_stream(tokenizer, plan)

    def push(self, token: int, logprob: float) -> Delta:
        """Take the next token; the delta carries the completion when this token was the last."""
        self.tokens.append(token)
        self.logprobs.append(logprob)
        piece = ""
        if token in self._stop_ids:
            self.finish_reason = FinishReason.STOP
        else:
            piece = self._stream.push([token])
            if self._stream.stopped:
                self.finish_reason = FinishReason.STOP
            elif len(self.tokens) >= self.plan.max_tokens:
                self.finish_reason = FinishReason.LENGTH
        return self._delta(piece, (token,))

    def cancel(self) -> Delta:
        """End it here."""
        self.finish_reason = FinishReason.CANCELLED
        return self._delta("", ())

    def _delta(self, piece: str, tokens: tuple[int, ...]) -> Delta:
        if self.finish_reason is None:
            self._pieces.append(piece)
            return Delta(text=piece, tokens=tokens)
        piece += self._stream.finish()
        if self._stream.stopped:  # perhaps only now: half a character at the very end may belong to a stop string
            self.finish_reason = FinishReason.STOP
        self._pieces.append(piece)
        return Delta(text=piece, tokens=tokens, completion=self._completion(self.finish_reason))

    def _completion(self, reason: FinishReason) -> Completion:
        return make_completion(self.plan, "".join(self._pieces), self.tokens, self.logprobs, reason)


def open_stream(tokenizer: Tokenizer, plan: Plan) -> TextStream:
    """An incremental detokenizer that stops at the request's stop strings."""
    return TextStream(tokenizer, stop=plan.request.stop, prompt=plan.prompt[-_PROMPT_TAIL:])


def make_completion(
    plan: Plan, text: str, tokens: Sequence[int], logprobs: Sequence[float], reason: FinishReason
) -> Completion:
    """The result of one request, with its account."""
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


def decode(
    state: DecodingState,
    logits: Tensor,
    writings: Sequence[Writing],
    *,
    num_tokens: int | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[Writing, Delta]]:
    """Write all rows to their ends, yielding each row's news after each step.

    Args:
        state: the rows' prompts, already read.
        logits: (B,V) of each row's first token.
        writings: one a row.
        num_tokens: ids the tokenizer can spell; the rest of a padded vocabulary is never chosen.
        cancelled: asked before each step; once true, every unfinished row ends as cancelled.
    """
    live = list(writings)
    sampler = Sampler(
        [writing.plan.sampling for writing in live],
        [writing.sample for writing in live],
        [writing.plan.prompt for writing in live],
        logits.shape[-1],
        logits.device,
        num_tokens,
    )
    while live:
        if cancelled():
            yield from ((writing, writing.cancel()) for writing in live)
            return
        tokens, logprobs = sampler.choose(logits)
        for writing, token, logprob in zip(live, tokens.tolist(), logprobs.tolist(), strict=True):
            yield writing, writing.push(token, logprob)
        rows = [row for row, writing in enumerate(live) if writing.finish_reason is None]
        if not rows:
            return
        if len(rows) < len(live):
            live = [live[row] for row in rows]
            state.select(rows)
            sampler.select(rows)
            tokens = tokens[torch.tensor(rows, device=tokens.device)]
        logits = state.advance(tokens)
