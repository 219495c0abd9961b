"""A layer: attention, feed-forward, their norms and residuals, composed in one of four ways.

    pre-norm       x = x + attention(norm(x));  x = x + feed_forward(norm(x))
    post-norm      x = norm(x + attention(x));  x = norm(x + feed_forward(x))
    parallel       x = x + attention(norm(x)) + feed_forward(norm(x)), with one norm or two

A decoder of an encoder-decoder attends to its source between the two.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from lavra.model.attention import Attention
from lavra.model.cache import Cache, Step
from lavra.model.config import Layout, ModelConfig
from lavra.model.dropout import dropout
from lavra.model.feedforward import FeedForward
from lavra.model.masks import Mask
from lavra.model.norm import build_norm
from lavra.model.positions import Rotation


@dataclass(frozen=True)
class Context:
    """Tensors that all layers of a forward pass share.

    Attributes:
        masks: masks of self-attention, by window.
        rotation: rotation of rotary positions.
        cache: cache of keys and values.
        step: slots of the new tokens in the cache.
        source: (B, S, D) the encoder's output; `None` when the cache already has its keys and values.
        source_mask: mask of the attention to it.
    """

    masks: dict[int | None, Mask]
    rotation: Rotation | None = None
    cache: Cache | None = None
    step: Step | None = None
    source: Tensor | None = None
    source_mask: Mask | None = None


class Block(nn.Module):
    """(B, T, D) -> (B, T, D)."""

    def __init__(self, config: ModelConfig, layer: int, *, cross: bool = False) -> None:
        super().__init__()
        self.layout, self.window, self.dropout = config.layout, config.window(layer), config.dropout.residual
        self.attention_norm = build_norm(config)
        self.attention = Attention(config, layer)
        self.cross_norm = build_norm(config) if cross else None
        self.cross_attention = Attention(config, layer) if cross else None
        self.feed_forward_norm = None if config.layout is Layout.PARALLEL else build_norm(config)
        self.feed_forward = FeedForward(config)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        if self.layout is Layout.POST_NORM:
            return self._post_norm(x, context)
        if self.layout is Layout.PRE_NORM:
            return self._pre_norm(x, context)
        return self._parallel(x, context)

    def _pre_norm(self, x: Tensor, context: Context) -> Tensor:
        x = x + self.drop(self._attend(self.attention_norm(x), context))
        if self.cross_norm is not None:
            x = x + self.drop(self._attend_source(self.cross_norm(x), context))
        return x + self.drop(self.feed_forward(_present(self.feed_forward_norm)(x)))

    def _post_norm(self, x: Tensor, context: Context) -> Tensor:
        x = self.attention_norm(x + self.drop(self._attend(x, context)))
        if self.cross_norm is not None:
            x = self.cross_norm(x + self.drop(self._attend_source(x, context)))
        out: Tensor = _present(self.feed_forward_norm)(x + self.drop(self.feed_forward(x)))
        return out

    def _parallel(self, x: Tensor, context: Context) -> Tensor:
        normed = self.attention_norm(x)
        inner = normed if self.feed_forward_norm is None else self.feed_forward_norm(x)
        return x + self.drop(self._attend(normed, context) + self.feed_forward(inner))

    def _attend(self, x: Tensor, context: Context) -> Tensor:
        mask = context.masks[self.window]
        out: Tensor = self.attention(x, mask, rotation=context.rotation, cache=context.cache, step=context.step)
        return out

    def _attend_source(self, x: Tensor, context: Context) -> Tensor:
        attention = self.cross_attention
        assert attention is not None
        assert context.source_mask is not None
        if context.source is None:  # a later decoding step: computed once, kept in the cache
            assert context.cache is not None
            keys, values = context.cache.source[attention.layer]
        else:
            keys, values = attention.keys_values(context.source)
            if context.cache is not None:
                context.cache.source.append((keys, values))
        return attention.cross(x, keys, values, context.source_mask)

    def drop(self, x: Tensor) -> Tensor:
        """The output of a sub-layer, which is added to the residual; some of it is dropped in training."""
        return dropout(x, self.dropout, self.training)


def _present(module: nn.Module | None) -> nn.Module:
    assert module is not None
    return module
