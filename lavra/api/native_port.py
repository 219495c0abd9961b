"""What stands behind a natively opened model: an engine that writes and scores, and torch for what that cannot do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from lavra.api.cache_config import ServingCacheConfig
from lavra.base.memory import free_memory
from lavra.base.ports import LanguageModel, Stream
from lavra.base.types import Completion, GenerateRequest, Score, ScoreRequest
from lavra.engine import DraftModel, Engine, EngineConfig
from lavra.engine.runners.native import BLOCK_SIZE, NativeRunner
from lavra.engine.runners.native_model import NativeModel
from lavra.generate.plan import PromptReading
from lavra.generate.reading import ends_of_text, reading_of
from lavra.model.config import ModelConfig
from lavra.tokens.tokenizer import Tokenizer

CACHE_SHARE: Final = 0.125  # of the memory that is free now, at most: the rows that write may take as much again
_CONTEXTS: Final = 16  # of full length, at most: more than that is memory nobody asked for
_LEAST_TOKENS: Final = 4096
FLOAT_BYTES: Final = 4
_SEARCHED: Final = "beams are searched by torch, not by the native runner: the weights are in memory twice"


class NativePort:
    """The `LanguageModel` port over native weights, which other engines may share.

    Its own engine is started by the first request.

    Args:
        weights: of a decoder.
        tokenizer: the model's.
        in_torch: the port of the same model in torch, opened when it is first asked for; it searches beams.
    """

    def __init__(self, weights: NativeModel, tokenizer: Tokenizer, in_torch: Callable[[], LanguageModel]) -> None:
        self.weights, self.tokenizer, self._in_torch = weights, tokenizer, in_torch
        self.config = weights.config
        self.stop_ids = ends_of_text(weights.config, tokenizer)
        self.reading = self.whole_reading = reading_of(weights.config, tokenizer)

    @cached_property
    def _engine(self) -> Engine:
        return self.engine(EngineConfig(), ServingCacheConfig())

    def engine(
        self, config: EngineConfig | None, cache: ServingCacheConfig, root: str = "", draft: DraftModel | None = None
    ) -> Engine:
        """Another engine over the same weights."""
        runner = self.runner(cache.cache_tokens or self.default_tokens(cache), cache)
        return Engine(runner, self.whole_reading, stop_ids=self.stop_ids, config=config, root=root, draft=draft)

    def runner(self, tokens: int, cache: ServingCacheConfig) -> NativeRunner:
        """A runner with room for so many tokens; its blocks have 16."""
        return NativeRunner(self.weights, num_blocks=-(-tokens // BLOCK_SIZE), cache_type=cache.cache_type)

    def generate(self, requests: Sequence[GenerateRequest]) -> list[list[Completion]]:
        """As `Engine.generate`; requests for beams are torch's."""
        beams = [request for request in requests if request.num_beams > 1]
        searched = iter([[_told(one) for one in found] for found in self._in_torch().generate(beams)] if beams else [])
        written = iter(self._engine.generate([request for request in requests if request.num_beams <= 1]))
        return [next(searched if request.num_beams > 1 else written) for request in requests]

    def submit(self, request: GenerateRequest) -> Stream:
        """As `Engine.submit`; a request for beams is torch's."""
        return self._in_torch().submit(request) if request.num_beams > 1 else self._engine.submit(request)

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """As `Engine.score`."""
        return self._engine.score(requests)

    def default_tokens(self, cache: ServingCacheConfig) -> int:
        """Tokens that a cache holds where nobody says."""
        free = int(free_memory() * CACHE_SHARE)
        each = bytes_per_token(self.config, FLOAT_BYTES, cache.cache_type)
        return default_tokens(self.reading.context or self.config.max_positions, free, each)


class NativeEncoderPort:
    """What stands behind a natively opened encoder, whose texts the runner reads: torch, where it fills gaps.

    Args:
        weights: of an encoder.
        tokenizer: the model's.
        in_torch: the port of the same model in torch, opened when it is first asked for.
    """

    def __init__(self, weights: NativeModel, tokenizer: Tokenizer, in_torch: Callable[[], LanguageModel]) -> None:
        self.weights, self.tokenizer, self._in_torch = weights, tokenizer, in_torch
        self.config = weights.config
        self.reading = reading_of(weights.config, tokenizer)

    def generate(self, requests: Sequence[GenerateRequest]) -> list[list[Completion]]:
        """An encoder writes nothing: torch's port says so."""
        return self._in_torch().generate(requests)

    def submit(self, request: GenerateRequest) -> Stream:
        """An encoder writes nothing: torch's port says so."""
        return self._in_torch().submit(request)

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """Pseudo-likelihoods, which torch computes."""
        return self._in_torch().score(requests)


def _told(completion: Completion) -> Completion:
    """With a warning of who wrote it."""
    return replace(completion, warnings=(*completion.warnings, _SEARCHED))


def default_tokens(context: int, free: int, each: int) -> int:
    """Tokens that a cache holds where nobody says: of 16 full contexts, as far as the memory goes.

    Args:
        context: most tokens of one text.
        free: bytes the cache may take.
        each: bytes of a token.
    """
    return max(min(free // each, max(_CONTEXTS * context, _LEAST_TOKENS)), min(context, _LEAST_TOKENS))


def bytes_per_token(config: ModelConfig, number: int, cache_type: str) -> int:
    """Of keys and values in all layers.

    Args:
        config: of the model.
        number: bytes of a number in the type of the weights.
        cache_type: what keys and values are kept in.
    """
    vectors = 2 * (config.num_decoder_layers or config.num_layers) * config.num_kv_heads
    if cache_type == "int8":
        return vectors * (config.head_dim + 4)  # a scale and a middle in 16 bits
    return vectors * config.head_dim * (2 if cache_type == "bf16" else number)


class _Embeds(Protocol):
    def embed(self, texts: Sequence[str], *, truncate: bool = False) -> npt.NDArray[np.float32]: ...

    def lengths(self, texts: Sequence[str]) -> list[int]: ...


class LateEmbedder:
    """Vectors of a decoder's texts, which torch computes: it is opened by the first text.

    Args:
        reading: how the model reads.
        in_torch: the embedder of the same model in torch.
    """

    def __init__(self, reading: PromptReading, in_torch: Callable[[], Any]) -> None:
        self._reading, self._in_torch = reading, in_torch

    def embed(self, texts: Sequence[str], *, truncate: bool = False) -> npt.NDArray[np.float32]:
        """(N, D) float32, one row a text; a text that is too long is an error unless it may be truncated."""
        embedder: _Embeds = self._in_torch()
        return embedder.embed(texts, truncate=truncate)

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, with everything that is read around it."""
        embedder: _Embeds = self._in_torch()
        return embedder.lengths(texts)

    @property
    def max_length(self) -> int | None:
        """Most tokens that are read; `None` where nothing says."""
        bounds = [one for one in (self._reading.tokenizer.max_length, self._reading.context) if one is not None]
        return min(bounds, default=None)
