"""The decoding loop: choose a token for every row, drop finished rows, read the chosen tokens, again.

It knows models only as a `DecodingState` (partly read sequences) and texts only as a
`TextStream`, so the same loop serves decoders, encoder-decoders and the scripted model of the tests; both
`generate` and `stream` are this one loop, drained at once or piece by piece.

Deliberately absent: admitting new requests into a running batch (that is an engine's work) and beam search
(`lavra.generate.beam`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, cast

import torch
from torch import Tensor

from lavra.base.arrays import Float32s
from lavra.base.errors import InputError
from lavra.base.types import Delta
from lavra.generate.completion_builder import CompletionBuilder
from lavra.generate.numpy_sampler import choose_in_numpy
from lavra.generate.sample_state import SampleState


class DecodingState(Protocol):
    """Sequences that a model has read so far, one row for each."""

    def advance(self, tokens: Tensor) -> Tensor:
        """Read one more token for each row, (B,) int64, and return the logits of the next, (B,V)."""
        ...

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order; a row may be repeated."""
        ...


def decode(
    state: DecodingState,
    logits: Tensor,
    builders: Sequence[CompletionBuilder],
    *,
    num_tokens: int | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[CompletionBuilder, Delta]]:
    """Write all rows to their ends, yielding each row's news after each step.

    Args:
        state: the rows' prompts, already read.
        logits: (B,V) of each row's first token.
        builders: the completion builder of each row.
        num_tokens: ids the tokenizer can spell; the rest of a padded vocabulary is never chosen.
        cancelled: called before each step; once true, every unfinished row ends as cancelled.

    Raises:
        InputError: a row's `logit_bias` and `min_tokens` leave no token to choose.
        LavraError: the model's logits are not numbers.
    """
    live = list(builders)
    spelled = logits.shape[-1] if num_tokens is None else min(num_tokens, logits.shape[-1])
    chances = [
        SampleState.of(one.plan, one.sample, num_tokens=spelled, stop_ids=one.stop_ids, logprobs=True) for one in live
    ]
    while live:
        if cancelled():
            yield from ((builder, builder.cancel()) for builder in live)
            return
        tokens: list[int] = []
        for builder, chance, choice in zip(live, chances, choose_in_numpy(to_numpy(logits), chances), strict=True):
            if isinstance(choice, InputError):
                raise choice
            tokens.append(choice.token)
            chance.push(choice.token)
            yield builder, builder.push(choice.token, choice.logprob, choice.top)
        rows = [row for row, builder in enumerate(live) if builder.finish_reason is None]
        if not rows:
            return
        if len(rows) < len(live):
            live, chances = [live[row] for row in rows], [chances[row] for row in rows]
            tokens = [tokens[row] for row in rows]
            state.select(rows)
        logits = state.advance(torch.tensor(tokens, device=logits.device))


def to_numpy(logits: Tensor) -> Float32s:
    """(B,V) logits on any device, in float32."""
    return cast(Float32s, logits.float().cpu().numpy())
