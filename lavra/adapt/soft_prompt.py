"""Soft prompts: token ids behind the vocabulary whose embeddings are learned (Lester et al. 2021, arXiv:2104.08691).

    ids            0 ... V-1 | V ... V+m-1 | V+m ... V+m+n-1
    embedding      the model's | first prompt | second prompt

The token embedding is wrapped so that it knows the new ids; a caller puts a prompt's ids in front of a text.  To
everything behind the embedding they are tokens like others: positions, masks, packing and caches of keys and values
need to know nothing, and rows of one batch may begin with different prompts.  An id is never given out twice.

A prefix (`prefix`) has such ids too; its tokens have no embedding, since no layer reads what they carry.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from lavra.adapt.active import Adapters
from lavra.adapt.config import PromptConfig, PromptInit
from lavra.adapt.prefix import Prefix
from lavra.base.errors import InputError
from lavra.quantize.modules import QuantizedEmbedding, QuantizedMatrix


class SoftPrompt(nn.Module):
    """(n, D) learned embeddings."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.rows = nn.Parameter(rows.detach().to(torch.float32, copy=True).contiguous())

    @property
    def num_tokens(self) -> int:
        """Virtual tokens."""
        return self.rows.shape[0]


class VirtualEmbedding(nn.Module):
    """(B, T) ids -> (B, T, D), in the place of the token embedding.

    Attributes:
        base: the model's embedding.
        adapters: prompts and prefixes by name.
        state: shared by the whole model.
        ranges: name -> (first id, behind the last); a removed one's stay taken.
    """

    def __init__(self, base: nn.Embedding | QuantizedEmbedding, state: Adapters) -> None:
        super().__init__()
        self.base, self.adapters, self.state = base, nn.ModuleDict(), state
        self.training = base.training
        self.vocab_size = base.weight.shape[0]
        self.ranges: dict[str, tuple[int, int]] = {}
        self._next = self.vocab_size

    def add(self, name: str, prompt: SoftPrompt | Prefix) -> None:
        """Give a prompt or a prefix the next ids."""
        self.adapters[name] = prompt
        self.ranges[name] = (self._next, self._next + prompt.num_tokens)
        self._next += prompt.num_tokens

    def remove(self, name: str) -> None:
        """Forget it; its ids become unknown."""
        del self.adapters[name], self.ranges[name]

    def forward(self, ids: Tensor) -> Tensor:
        """(B, T) -> (B, T, D); leaves for a stack behind it where tokens of a prefix stand.

        Raises InputError for an id that belongs to nothing.
        """
        self.state.prefix_places = None
        virtual = ids >= self.vocab_size
        if not bool(virtual.any()):
            found: Tensor = self.base(ids)
            return found
        x: Tensor = self.base(torch.where(virtual, 0, ids))
        owned = ~virtual
        places = torch.full_like(ids, -1)
        before = 0  # rows of the prefixes so far
        for name, (start, stop) in self.ranges.items():
            inside = (ids >= start) & (ids < stop)
            owned = owned | inside
            prompt = self.adapters[name]
            if isinstance(prompt, SoftPrompt):
                rows = prompt.rows[torch.where(inside, ids - start, 0)].to(x.dtype)  # (B, T, D)
                x = torch.where(inside[..., None], rows, x)
            else:
                x = torch.where(inside[..., None], 0.0, x)
                places = torch.where(inside, ids - start + before, places)
                before += stop - start
        if not bool(owned.all()):
            raise InputError(
                f"token {int(ids[~owned][0])} is neither of the vocabulary's {self.vocab_size} nor of a prompt; "
                "ask virtual_ids for a prompt's tokens"
            )
        self.state.prefix_places = places if before and bool((places >= 0).any()) else None
        return x

    def prefixes(self) -> list[Prefix]:
        """In the order of their ids."""
        return [found for name in self.ranges if isinstance(found := self.adapters[name], Prefix)]

    @property
    def weight(self) -> Tensor:
        """(V, D) of the model's embedding, which a tied head shares."""
        return self.base.weight

    @property
    def matrix(self) -> QuantizedMatrix:
        """Of a quantized embedding, for a tied head."""
        return cast(QuantizedEmbedding, self.base).matrix


@torch.no_grad()
def first_rows(config: PromptConfig, base: nn.Embedding | QuantizedEmbedding) -> Tensor:
    """(n, D) where a fresh prompt starts.

    Raises InputError for a token to start from that is not in the vocabulary.
    """
    weight = base.weight
    vocab_size, channels = weight.shape
    if config.init_ids:
        if not all(0 <= token < vocab_size for token in config.init_ids):
            raise InputError(
                f"init_ids has tokens outside 0..{vocab_size - 1}; take them from the model's own tokenizer"
            )
        repeats = math.ceil(config.num_tokens / len(config.init_ids))
        ids = torch.tensor((config.init_ids * repeats)[: config.num_tokens], device=weight.device)
    elif config.init is PromptInit.VOCABULARY:
        ids = torch.randint(vocab_size, (config.num_tokens,)).to(weight.device)
    else:
        return torch.randn(config.num_tokens, channels).to(weight.device)
    rows: Tensor = base(ids)
    return rows.float()
