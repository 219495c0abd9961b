"""A torch model that has read parts of sequences: its key-value cache, and the one new token of each row.

Prompts of unequal length are read together, padded on the right; the cache keeps each row without its padding,
so a row computes the same as alone.

Deliberately absent: paging and prefix reuse, which belong to the engine.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lavra.generate.planned_request import PlannedRequest
from lavra.generate.virtual_tokens import VirtualTokens
from lavra.model.cache import KVCache
from lavra.model.transformer import Decoder, EncoderDecoder


class CachedState:
    """A decoder, or the decoder of an encoder-decoder, that has read its prompts into a cache."""

    def __init__(self, model: Decoder | EncoderDecoder, cache: KVCache) -> None:
        self._model = model
        self._cache = cache

    def advance(self, tokens: Tensor) -> Tensor:
        """Read one more token for each row (B,); returns the logits of the next (B,V)."""
        if isinstance(self._model, EncoderDecoder):
            hidden = self._model.decode(tokens[:, None], None, cache=self._cache)  # (B,1,D)
        else:
            hidden = self._model.hidden(tokens[:, None], cache=self._cache)
        return self._model.logits(hidden)[:, 0]

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order."""
        if list(rows) != list(range(self._cache.batch_size)):
            self._cache.select(torch.tensor(list(rows), device=self._cache.length.device))


def start(
    model: Decoder | EncoderDecoder, plans: Sequence[PlannedRequest], front: VirtualTokens
) -> tuple[CachedState, Tensor]:
    """Read the sources and prompts of all plans behind a front; the state, and logits (B,V) of the first tokens."""
    device = next(model.parameters()).device
    prompts = [(*front.prompt, *plan.prompt) for plan in plans]
    # The last written token is never read.
    slots = max(len(prompt) + plan.max_tokens - 1 for prompt, plan in zip(prompts, plans, strict=True))
    cache = model.new_cache(len(plans), slots)
    ids, mask = _padded(prompts, device)  # (B,T)
    if isinstance(model, EncoderDecoder):
        sources, source_mask = _padded([(*front.source, *(plan.source or ())) for plan in plans], device)  # (B,S)
        encoded = model.encode(sources, attention_mask=source_mask)  # (B,S,D)
        hidden = model.decode(ids, encoded, attention_mask=source_mask, decoder_attention_mask=mask, cache=cache)
    else:
        hidden = model.hidden(ids, attention_mask=mask, cache=cache)  # (B,T,D)
    return CachedState(model, cache), model.logits(_last(hidden, prompts))[:, 0]


def _padded(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor | None]:
    """(B,T) ids padded on the right, and (B,T) True on real tokens; no mask without padding."""
    longest = max(len(row) for row in rows)
    ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], dtype=torch.int64, device=device)
    if all(len(row) == longest for row in rows):
        return ids, None
    lengths = torch.tensor([len(row) for row in rows], device=device)
    return ids, torch.arange(longest, device=device)[None, :] < lengths[:, None]


def _last(hidden: Tensor, prompts: Sequence[Sequence[int]]) -> Tensor:
    """(B,1,D) the state of each prompt's last token."""
    places = torch.tensor([len(prompt) - 1 for prompt in prompts], device=hidden.device)
    return hidden[torch.arange(len(prompts), device=hidden.device), places][:, None]
