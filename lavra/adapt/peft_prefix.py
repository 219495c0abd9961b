"""A prefix's tensor as PEFT stores it, (n, 2 L K C), and ours, (n, L, 2, K, C).

PEFT stores what a `transformers` model keeps for a token.  For Falcon's new architecture that is a copy of a key for
every head that shares it, so a prefix trained there may have heads that differ where they share a key here: such a one
is refused.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lavra.adapt.prefix import prefix_shape
from lavra.base.errors import CheckpointError
from lavra.model.config import ModelConfig
from lavra.model.families import family


def kept_heads(config: ModelConfig) -> int:
    """Heads of a key that `transformers` keeps."""
    return family(config.family).cached_heads(config)


def join_prefix(pairs: Tensor, config: ModelConfig) -> Tensor:
    """(n, L, 2, K, C) -> (n, 2 L H' C)."""
    return pairs.repeat_interleave(kept_heads(config) // config.num_kv_heads, dim=3).flatten(1)


def split_prefix(stored: Tensor, num_tokens: int, config: ModelConfig) -> Tensor:
    """(n, 2 L H' C) -> (n, L, 2, K, C).

    Raises:
        CheckpointError: it is for another model, or heads that share a key have keys of their own.
    """
    layers, two, kv_heads, channels = prefix_shape(config)
    heads = kept_heads(config)
    wanted = (num_tokens, layers * two * heads * channels)
    if tuple(stored.shape) != wanted:
        raise CheckpointError(
            f"prompt_embeddings has shape {list(stored.shape)}, expected {list(wanted)}: {layers} layers of keys and "
            f"values with {heads} heads of {channels} channels; the prefix was made for another model"
        )
    grouped = stored.view(num_tokens, layers, two, kv_heads, heads // kv_heads, channels)
    first = grouped[..., :1, :]
    if not torch.equal(grouped, first.expand_as(grouped)):
        raise CheckpointError(
            f"prompt_embeddings has a key for each of {heads} heads, and in this model groups of them share "
            f"{kv_heads}; lavra keeps one a group: train the prefix with lavra, which PEFT opens"
        )
    return first.squeeze(4).contiguous()
