"""The three models: `Decoder` (GPT-2, LLaMA, Falcon), `Encoder` (BERT), `EncoderDecoder` (T5).

Each is embeddings, one or two stacks of blocks, and a head.  All three guarantee the same to the code that computes
a loss: `logits = head_hidden(hidden) @ head_weight.T + head_bias`, so that a loss may take the matrix and never
hold all the logits.

Generation, sampling and losses are elsewhere; so are LoRA and INT8, which wrap these modules from outside.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lavra.base.errors import InputError
from lavra.model.block import Block
from lavra.model.cache import Cache, KVCache
from lavra.model.config import NO_HEAD, ModelConfig
from lavra.model.embedding import Embedding
from lavra.model.feedforward import ACTIVATIONS
from lavra.model.masks import Pairs, build_mask
from lavra.model.norm import build_norm
from lavra.model.stack import SourceStates, Stack, lay_out


class Head(nn.Module):
    """The layers between hidden states and logits; the matrix is the embedding's when tied."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.scale = config.head_scale
        self.dense = nn.Linear(size, size) if config.head_transform else None
        self.norm = build_norm(config) if config.head_transform else None
        self.activate = ACTIVATIONS[config.head_activation or config.activation]
        self.weight = None if config.tie_embeddings else nn.Parameter(torch.empty(config.vocab_size, size))
        self.bias = nn.Parameter(torch.zeros(config.vocab_size)) if config.head_bias else None

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., D), the input of the matrix."""
        if self.scale != 1.0:
            hidden = hidden * self.scale
        if self.dense is not None and self.norm is not None:
            hidden = self.norm(self.activate(self.dense(hidden)))
        return hidden

    def project(self, hidden: Tensor, tied: nn.Embedding) -> Tensor:
        """(..., D) from `head_hidden` -> (..., V) by its own matrix or the tied embedding's."""
        return functional.linear(hidden, tied.weight if self.weight is None else self.weight, self.bias)


class Transformer(nn.Module):
    """The common part of the three models: the embedding and the head."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = Embedding(config)
        self.head = Head(config) if config.has_head else None

    @property
    def blocks(self) -> list[Block]:
        """Every block, in the order they run: the units of sharding and activation checkpointing."""
        stacks = [module for module in self.children() if isinstance(module, Stack)]
        return [block for stack in stacks for block in stack.blocks if isinstance(block, Block)]

    @property
    def head_weight(self) -> Tensor:
        """(V, D) the matrix of the head."""
        weight = self._head().weight
        return self.embedding.token.weight if weight is None else weight

    @property
    def head_bias(self) -> Tensor | None:
        """(V,) bias of the logits, or None."""
        return self._head().bias

    def head_hidden(self, hidden: Tensor) -> Tensor:
        """(..., D) hidden states -> (..., D) such that logits are this times `head_weight`."""
        out: Tensor = self._head()(hidden)
        return out

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., D) hidden states -> (..., V).

        Raises InputError when the model has no head.
        """
        return self._head().project(self.head_hidden(hidden), self.embedding.token)

    def _head(self) -> Head:
        if self.head is None:
            raise InputError(NO_HEAD)
        return self.head

    def _new_cache(
        self, num_layers: int, batch_size: int, max_length: int, device: torch.device | None, dtype: torch.dtype | None
    ) -> KVCache:
        weight = next(self.parameters())
        return KVCache(
            num_layers=num_layers,
            batch_size=batch_size,
            max_length=max_length,
            num_kv_heads=self.config.num_kv_heads,
            head_dim=self.config.head_dim,
            device=device or weight.device,
            dtype=dtype or weight.dtype,
        )


class Decoder(Transformer):
    """A model that predicts each token from the tokens before it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.decoder = Stack(config, num_layers=config.num_layers, causal=True)

    def hidden(
        self,
        input_ids: Tensor,
        *,
        positions: Tensor | None = None,
        segments: Tensor | None = None,
        attention_mask: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """(B, T) ids -> (B, T, D) after the final norm.

        Args:
            input_ids: (B, T).
            positions: (B, T); by default counted from 0 in each document, or on from the cache.
            segments: (B, T) document of each token in a packed row, 0 for padding.
            attention_mask: (B, T) True on real tokens, False on padding, on either side; with a cache it covers
                the new tokens only.
            cache: keys and values of earlier tokens; those of the new tokens are added to it.

        Raises:
            ContextLengthError: more tokens than learned positions or cache slots.
            InputError: shapes or arguments do not fit together.
        """
        rows = lay_out(input_ids, positions=positions, segments=segments, attention_mask=attention_mask, cache=cache)
        self.embedding.check_length(rows.step.span if rows.step is not None else input_ids.shape[1])
        out: Tensor = self.decoder(self.embedding(input_ids, rows.positions), rows)
        return out

    def forward(
        self,
        input_ids: Tensor,
        *,
        positions: Tensor | None = None,
        segments: Tensor | None = None,
        attention_mask: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """(B, T) ids -> (B, T, V) logits; arguments as in `hidden`."""
        return self.logits(
            self.hidden(input_ids, positions=positions, segments=segments, attention_mask=attention_mask, cache=cache)
        )

    def new_cache(
        self, batch_size: int, max_length: int, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> KVCache:
        """An empty cache; device and dtype are the weights' unless given."""
        return self._new_cache(self.config.num_layers, batch_size, max_length, device, dtype)


class Encoder(Transformer):
    """Reads a whole text at once."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.encoder = Stack(config, num_layers=config.num_layers, causal=False)
        self.pooler = nn.Linear(config.hidden_size, config.hidden_size) if config.has_pooler else None

    def hidden(
        self,
        input_ids: Tensor,
        *,
        positions: Tensor | None = None,
        segments: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
    ) -> Tensor:
        """(B, T) ids -> (B, T, D); arguments as in `Decoder.hidden`, and (B, T) token types, 0 by default."""
        rows = lay_out(input_ids, positions=positions, segments=segments, attention_mask=attention_mask, cache=None)
        self.embedding.check_length(input_ids.shape[1])
        out: Tensor = self.encoder(self.embedding(input_ids, rows.positions, token_type_ids), rows)
        return out

    def forward(
        self,
        input_ids: Tensor,
        *,
        positions: Tensor | None = None,
        segments: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
    ) -> Tensor:
        """(B, T) ids -> (B, T, V) logits; arguments as in `hidden`."""
        hidden = self.hidden(
            input_ids,
            positions=positions,
            segments=segments,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
        )
        return self.logits(hidden)

    def pooled(self, hidden: Tensor) -> Tensor:
        """(B, T, D) hidden states -> (B, D) from the first token (Devlin et al. 2019).

        Raises InputError when the checkpoint has no pooler.
        """
        if self.pooler is None:
            raise InputError("this checkpoint has no pooler; average the hidden states instead")
        return torch.tanh(self.pooler(hidden[:, 0]))


class EncoderDecoder(Transformer):
    """Reads one text and writes another."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        assert config.num_decoder_layers is not None
        self.encoder = Stack(config, num_layers=config.num_layers, causal=False)
        self.decoder = Stack(config, num_layers=config.num_decoder_layers, causal=True, cross=True)

    def encode(
        self, input_ids: Tensor, *, segments: Tensor | None = None, attention_mask: Tensor | None = None
    ) -> Tensor:
        """(B, S) ids of the source -> (B, S, D)."""
        rows = lay_out(input_ids, positions=None, segments=segments, attention_mask=attention_mask, cache=None)
        out: Tensor = self.encoder(self.embedding(input_ids, rows.positions), rows)
        return out

    def decode(
        self,
        decoder_input_ids: Tensor,
        encoded: Tensor | None,
        *,
        attention_mask: Tensor | None = None,
        segments: Tensor | None = None,
        decoder_segments: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """(B, U) ids -> (B, U, D) after the final norm.

        Args:
            decoder_input_ids: (B, U).
            encoded: (B, S, D) from `encode`; not needed once a cache has seen it.
            attention_mask: (B, S) True on real source tokens; kept by the cache.
            segments: (B, S) document of each source token, in packed rows.
            decoder_segments: (B, U) document of each token; attends to the source of the same number.
            decoder_attention_mask: (B, U) True on real tokens.
            cache: keys and values of earlier tokens and of the source.
        """
        if (segments is None) != (decoder_segments is None):
            raise InputError("segments and decoder_segments go together: give both or neither")
        rows = lay_out(
            decoder_input_ids,
            positions=None,
            segments=decoder_segments,
            attention_mask=decoder_attention_mask,
            cache=cache,
        )
        x = self.embedding(decoder_input_ids, rows.positions)
        source = _source(x, encoded, attention_mask, segments, decoder_segments, cache)
        out: Tensor = self.decoder(x, rows, source)
        return out

    def forward(
        self,
        input_ids: Tensor,
        decoder_input_ids: Tensor,
        *,
        attention_mask: Tensor | None = None,
        segments: Tensor | None = None,
        decoder_segments: Tensor | None = None,
    ) -> Tensor:
        """(B, S) and (B, U) ids -> (B, U, V) logits."""
        encoded = self.encode(input_ids, segments=segments, attention_mask=attention_mask)
        hidden = self.decode(
            decoder_input_ids,
            encoded,
            attention_mask=attention_mask,
            segments=segments,
            decoder_segments=decoder_segments,
        )
        return self.logits(hidden)

    def new_cache(
        self, batch_size: int, max_length: int, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> KVCache:
        """An empty cache for the decoder; device and dtype are the weights' unless given."""
        return self._new_cache(len(self.decoder.blocks), batch_size, max_length, device, dtype)


def _source(
    x: Tensor,
    encoded: Tensor | None,
    attention_mask: Tensor | None,
    segments: Tensor | None,
    decoder_segments: Tensor | None,
    cache: Cache | None,
) -> SourceStates:
    """The states that the decoder's (B, U, D) attends to: the encoder's output, or the cached keys and values of it."""
    if cache is not None and cache.source:
        encoded, attention_mask, length = None, cache.source_mask, cache.source[0][0].shape[1]
    elif encoded is None:
        raise InputError("encoded is None and no cache has seen the source; pass what `encode` returned")
    else:
        length = encoded.shape[1]
        if cache is not None:
            cache.source_mask = attention_mask
    pairs = Pairs(
        query_order=torch.zeros((1, x.shape[1]), dtype=torch.int64, device=x.device),
        key_order=torch.zeros((1, length), dtype=torch.int64, device=x.device),
        query_segments=decoder_segments,
        key_segments=segments,
        key_mask=None if attention_mask is None else attention_mask.bool(),
        causal=False,
    )
    return SourceStates(hidden=encoded, mask=build_mask(pairs, precise=True, x=x))


def num_parameters(model: nn.Module) -> int:
    """The number of weights in a model, shared ones counted once."""
    return sum(parameter.numel() for parameter in model.parameters())
