"""From a model folder to an engine: how much memory the cache takes, and which runner computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from lavra.api.embed import TorchEmbedder
from lavra.api.model import TextModel
from lavra.base.device import available_memory
from lavra.base.errors import ConfigError, InputError
from lavra.engine import DraftModel, Engine, EngineConfig
from lavra.engine.runners.fused import fuse
from lavra.engine.runners.torch import CACHE_TYPES, TorchRunner
from lavra.generate.in_process import InProcessModel
from lavra.model.config import ModelConfig
from lavra.model.transformer import Decoder, Encoder

_SHARE = 0.125  # of the memory that is free now, at most: the rows that write may take as much again
_CONTEXTS = 16  # of full length, at most: more than that is memory nobody asked for
_LEAST_TOKENS = 4096


@dataclass(frozen=True, kw_only=True)
class CacheConfig:
    """The key-value cache of an engine.

    Attributes:
        cache_tokens: tokens it holds, of all requests together; by default 16 full contexts, within an eighth of the
            memory that is free (rows that write keep copies, which may take as much again).
        cache_type: what a key or value is kept in: `model` (the type of the weights), `bf16`, `int8`.
        block_size: tokens that are shared or freed together.
    """

    cache_tokens: int | None = None
    cache_type: Literal["model", "bf16", "int8"] = "model"
    block_size: int = 16

    def __post_init__(self) -> None:
        if self.block_size < 1 or self.block_size > 256:
            raise ConfigError(f"block_size is {self.block_size}; give 1 to 256")
        if self.cache_type not in CACHE_TYPES:
            raise ConfigError(f"cache_type={self.cache_type!r} is unknown; known: {', '.join(CACHE_TYPES)}")
        if self.cache_tokens is not None and self.cache_tokens < self.block_size:
            raise ConfigError(f"cache_tokens is {self.cache_tokens}, under one block; give {self.block_size} or more")


def start_engine(
    model: TextModel,
    config: EngineConfig | None = None,
    cache: CacheConfig | None = None,
    *,
    root: str = "",
    draft: TextModel | None = None,
    draft_tokens: int = 4,
) -> Engine:
    """An engine over a loaded model.

    Args:
        model: a decoder or an encoder-decoder, in this process.
        config: how requests share the machine.
        cache: how much is kept.
        root: the model's name and version.
        draft: a smaller decoder with the same tokenizer, which guesses.
        draft_tokens: tokens it guesses at once.

    Raises:
        InputError: the model is an encoder, is elsewhere, or cannot be served in blocks; or the draft's tokenizer is
            another one.
    """
    cache = cache or CacheConfig()
    port = _in_process(model)
    tokens = cache.cache_tokens or _default_tokens(port, cache)
    helper = None if draft is None else DraftModel(_draft_runner(port, draft, tokens, cache), most=draft_tokens)
    runner = _runner(port, tokens, cache)
    return Engine(runner, port.reading, stop_ids=port.stop_ids, config=config, root=root, draft=helper)


def fused_model(model: TextModel) -> TextModel:
    """The model over its fused twin, which engines and the embedder then share: one copy of its matrices, not two.

    It serves: an engine over it writes and scores, and it embeds.  Drop the model it was made of.

    Raises:
        InputError: the model is elsewhere.
    """
    port, embedder = _in_process(model), model.embedder
    twin = fuse(port.model)
    if isinstance(embedder, TorchEmbedder):
        embedder = embedder.over(twin)
    over = InProcessModel(twin, port.config, port.tokenizer, batch_size=port.batch_size)
    return TextModel(over, runner=model.runner, tokenizer=model.tokenizer, embedder=embedder, folder=model.folder)


def _in_process(model: TextModel) -> InProcessModel:
    port = model.port
    if not isinstance(port, InProcessModel):
        raise InputError(f"an engine needs the weights in this process, and {type(port).__name__} has them elsewhere")
    return port


def _runner(port: InProcessModel, tokens: int, cache: CacheConfig) -> TorchRunner:
    if isinstance(port.model, Encoder):
        raise InputError("this model is an encoder and cannot write text; serve its embeddings")
    return TorchRunner(
        port.model,
        port.config,
        num_blocks=-(-tokens // cache.block_size),
        block_size=cache.block_size,
        cache_type=cache.cache_type,
    )


def _draft_runner(port: InProcessModel, draft: TextModel, tokens: int, cache: CacheConfig) -> TorchRunner:
    small = _in_process(draft)
    if not isinstance(small.model, Decoder) or not isinstance(port.model, Decoder):
        raise InputError("only a decoder can guess, and only for a decoder; leave the draft model out")
    if small.tokenizer.fingerprint != port.tokenizer.fingerprint:
        raise InputError(
            "the draft model has another tokenizer, so its guesses mean nothing here; name one that shares it"
        )
    return _runner(small, tokens, cache)


def _default_tokens(port: InProcessModel, cache: CacheConfig) -> int:
    context = port.reading.context or port.config.max_positions
    weight = next(port.model.parameters())
    fits = int(available_memory(weight.device) * _SHARE) // bytes_per_token(port.config, weight.dtype, cache.cache_type)
    return max(min(fits, max(_CONTEXTS * context, _LEAST_TOKENS)), min(context, _LEAST_TOKENS))


def bytes_per_token(config: ModelConfig, dtype: torch.dtype, cache_type: str) -> int:
    """Of keys and values in all layers."""
    layers = config.num_decoder_layers or config.num_layers
    vectors = 2 * layers * config.num_kv_heads
    if cache_type == "int8":
        return vectors * (config.head_dim + 4)  # a scale and a middle in 16 bits
    return vectors * config.head_dim * (2 if cache_type == "bf16" else dtype.itemsize)
