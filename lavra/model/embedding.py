"""Token, position and type embeddings, summed, optionally normalised and dropped.

Learned positions start at row `position_offset`: RoBERTa keeps the rows up to its padding id for padding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lavra.base.errors import ContextLengthError, InputError
from lavra.model.config import ModelConfig, Positions
from lavra.model.dropout import dropout
from lavra.model.norm import build_norm


def table(rows: int, size: int) -> nn.Embedding:
    """An embedding; on `meta` its weights are not drawn: PyTorch would import its compiler for it (a second, 74 MB)."""
    on_meta = torch.get_default_device().type == "meta"
    return nn.Embedding(rows, size, _weight=torch.empty(rows, size) if on_meta else None)


class Embedding(nn.Module):
    """(B, T) token ids -> (B, T, D)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.token = table(config.vocab_size, size)
        self.offset, self.max_positions = config.position_offset, config.max_positions
        rows = self.max_positions + self.offset
        self.position = table(rows, size) if config.positions is Positions.LEARNED else None
        self.token_type = table(config.num_token_types, size) if config.num_token_types else None
        self.norm = build_norm(config) if config.embedding_norm else None
        self.dropout = config.dropout.embedding

    def forward(self, input_ids: Tensor, positions: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """(B, T) ids, (B|1, T) positions, (B, T) types (0 everywhere when not given) -> (B, T, D)."""
        x: Tensor = self.token(input_ids)
        if self.token_type is not None:
            types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
            x = x + self.token_type(types)
        elif token_type_ids is not None:
            raise InputError("token_type_ids are given, but this model has no token types; leave them out")
        if self.position is not None:
            x = x + self.position(positions + self.offset)
        if self.norm is not None:
            x = self.norm(x)
        return dropout(x, self.dropout, self.training)

    def check_length(self, length: int) -> None:
        """Refuse a text longer than the learned positions."""
        if self.position is not None and length > self.max_positions:
            raise ContextLengthError(
                f"the text has {length} tokens and this model has learned {self.max_positions} positions; "
                "shorten the text"
            )
