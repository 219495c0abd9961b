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

from lavra.base.types import Delta
from lavra.generate.sampling import Sampler
from lavra.generate.writing import Writing


class DecodingState(Protocol):
    """Sequences a model is in the middle of reading, one a row."""

    def advance(self, tokens: Tensor) -> Tensor:
        """Read one more token a row, (B,) int64, and return the logits of the next, (B,V)."""
        ...

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order; a row may be taken more than once."""
        ...


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
