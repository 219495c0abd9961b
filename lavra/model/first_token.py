"""An encoder that computes its first token alone, for a classifier.

The last block's queries, output and feed-forward layer are computed for one token instead of T; keys and values are
computed for all.  This saves most of the block's work: with MiniLM's six blocks a seventh of all work, forward and
backward.  The numbers are those of the whole pass.
"""

from __future__ import annotations

from torch import Tensor

from lavra.model.block import Block, Context
from lavra.model.config import Layout
from lavra.model.stack import Stack, lay_out
from lavra.model.transformer import Encoder


def can_read_first(encoder: Encoder) -> bool:
    """Whether the last block can be split: it is a plain block of BERT's layout, not sharded over processes."""
    block = encoder.encoder.blocks[-1]
    return type(encoder.encoder) is Stack and type(block) is Block and block.layout is Layout.POST_NORM


def first_hidden(
    encoder: Encoder, input_ids: Tensor, *, attention_mask: Tensor | None, token_type_ids: Tensor | None
) -> Tensor:
    """(B, T) ids -> (B, 1, D), the first token's row of `Encoder.hidden` with the same arguments."""
    rows = lay_out(input_ids, positions=None, segments=None, attention_mask=attention_mask, cache=None)
    encoder.embedding.check_length(input_ids.shape[1])
    stack = encoder.encoder
    x = encoder.embedding(input_ids, rows.positions, token_type_ids)
    context = stack.context(x, rows)
    for block in stack.blocks[:-1]:
        x = block(x, context)
    last = stack.blocks[-1]
    assert isinstance(last, Block)
    return stack.finish(_first(last, x, context))


def _first(block: Block, x: Tensor, context: Context) -> Tensor:
    """(B, T, D) -> (B, 1, D)."""
    first = x[:, :1]
    attended = block.attention.first(x, context.masks[block.window])
    first = block.attention_norm(first + block.drop(attended))
    assert block.feed_forward_norm is not None
    out: Tensor = block.feed_forward_norm(first + block.drop(block.feed_forward(first)))
    return out
