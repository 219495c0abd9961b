"""The training objective of each family: next token, masked token or span corruption."""

from __future__ import annotations

from typing import Any, Final

from lavra.base.errors import ConfigError
from lavra.data.batch import BatchMaker
from lavra.data.pretraining.dataset import TokenDataset
from lavra.data.pretraining.masked_token import MASK_SHARE, MaskedToken, MaskedTokenConfig
from lavra.data.pretraining.next_token import FimTokens, NextToken, NextTokenConfig
from lavra.data.pretraining.span_corruption import SpanCorruption, SpanCorruptionConfig
from lavra.model.config import Kind, ModelConfig
from lavra.pipeline.noise import Noise
from lavra.tokens.config import FIM_TOKENS
from lavra.tokens.tokenizer import Tokenizer
from lavra.train.objective import Objective, sequence_to_sequence_loss, token_loss

_MANY_ROWS: Final = 16_384  # more rows than any batch has


def make_objective(
    kind: Kind,
    dataset: TokenDataset,
    tokenizer: Tokenizer,
    *,
    batch_size: int,
    sequence_length: int,
    seed: int,
    noise: Noise | None = None,
) -> Objective:
    """The objective of a decoder, an encoder or an encoder-decoder on a dataset.

    Raises:
        ConfigError: a kind of noise that this kind of model does not have.
    """
    noise = noise or Noise()
    noise.check(kind)
    batches: BatchMaker
    if kind is Kind.DECODER:
        shape = NextTokenConfig(
            batch_size=batch_size,
            sequence_length=sequence_length,
            seed=seed,
            fim_rate=noise.fim_rate,
            fim_tokens=_fim_tokens(tokenizer) if noise.fim_rate else None,
        )
        return Objective(batches=NextToken(dataset, shape), loss=token_loss)
    if kind is Kind.ENCODER:
        masked = MaskedTokenConfig(
            batch_size=batch_size,
            sequence_length=sequence_length,
            seed=seed,
            mask_share=MASK_SHARE if noise.mask_share is None else noise.mask_share,
            whole_words=noise.whole_words,
        )
        batches = MaskedToken(dataset, masked, tokenizer)
        return Objective(batches=batches, loss=token_loss)
    spans = SpanCorruptionConfig(batch_size=batch_size, sequence_length=sequence_length, seed=seed)
    return Objective(batches=SpanCorruption(dataset, spans, tokenizer), loss=sequence_to_sequence_loss)


def num_rows(
    kind: Kind, dataset: TokenDataset, tokenizer: Tokenizer, *, sequence_length: int, noise: Noise | None = None
) -> int:
    """The number of rows that a dataset fills in an epoch; an estimate where there are many."""
    about = dataset.num_tokens // sequence_length
    if about > _MANY_ROWS:  # to know it exactly, all documents would be placed
        return about
    try:
        made = make_objective(
            kind, dataset, tokenizer, batch_size=1, sequence_length=sequence_length, seed=0, noise=noise
        )
    except ConfigError:  # not one
        return 0
    return len(made.batches)


def _fim_tokens(tokenizer: Tokenizer) -> FimTokens:
    prefix, middle, suffix = (tokenizer.id(token) for token in FIM_TOKENS)
    if prefix is None or middle is None or suffix is None:
        raise ConfigError("the tokenizer has no fill-in-the-middle tokens; train it with fim")
    return FimTokens(prefix=prefix, middle=middle, suffix=suffix)


def tokenizer_ids(config: ModelConfig, tokenizer: Tokenizer) -> dict[str, Any]:
    """The fields of a model's configuration that are the tokenizer's special tokens."""
    eos = tokenizer.eos_id
    ids: dict[str, Any] = {
        "bos_id": tokenizer.bos_id,
        "eos_ids": () if eos is None else (eos,),
        "pad_id": tokenizer.pad_id,
    }
    if config.kind is Kind.ENCODER_DECODER:
        ids["decoder_start_id"] = tokenizer.pad_id  # T5 starts its decoder with the padding token
    return ids
