"""The port of a natively opened model: an engine that writes and scores, and a beam search."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from typing import Final

from lavra.api.cache_config import ServingCacheConfig
from lavra.base.memory import free_memory
from lavra.base.ports import Stream
from lavra.base.types import Completion, GenerateRequest, Score, ScoreRequest
from lavra.engine.adapters import EngineAdapter, Variants
from lavra.engine.beams import BeamSearcher
from lavra.engine.config import EngineConfig
from lavra.engine.draft import DraftModel
from lavra.engine.engine import Engine
from lavra.engine.runners.native import BLOCK_SIZE, NativeRunner
from lavra.engine.runners.native_model import NativeModel
from lavra.generate.prompt_encoding import encoding_of, ends_of_text
from lavra.generate.virtual_tokens import NO_VIRTUAL_TOKENS
from lavra.model.config import ModelConfig
from lavra.tokens.tokenizer import Tokenizer

CACHE_SHARE: Final = 0.125  # most of the free memory: the rows that write may take as much again
_CONTEXTS: Final = 16  # most full-length contexts: a larger cache would not be used
_LEAST_TOKENS: Final = 4096
_FLOAT_BYTES: Final = 4


class NativePort:
    """The `LanguageModel` port over native weights, which other engines may share.

    The first request starts its own engine.

    Args:
        weights: weights of a decoder.
        tokenizer: tokenizer of the model.
        adapters: adapters of the weights, which requests may name.
        usual_adapter: adapter for requests that name none; `None` is the model itself.

    Attributes:
        front: the virtual tokens of the usual adapter, in front of every text.
        whole_encoding: encoding of the model's whole context; `encoding` is the part that the front leaves to requests.

    Raises:
        InputError: the virtual tokens leave no room for a text.
    """

    def __init__(
        self,
        weights: NativeModel,
        tokenizer: Tokenizer,
        *,
        adapters: Sequence[EngineAdapter] = (),
        usual_adapter: str | None = None,
    ) -> None:
        self.weights, self.tokenizer = weights, tokenizer
        self.adapters, self.usual_adapter = tuple(adapters), usual_adapter
        self.config = weights.config
        self.stop_ids = ends_of_text(weights.config, tokenizer)
        self.whole_encoding = encoding_of(weights.config, tokenizer)
        self.front = next((one.front for one in self.adapters if one.name == usual_adapter), NO_VIRTUAL_TOKENS)
        self.encoding = self.front.behind(self.whole_encoding, "the soft prompt")

    @cached_property
    def _engine(self) -> Engine:
        return self.engine(EngineConfig(), ServingCacheConfig())

    def engine(
        self, config: EngineConfig | None, cache: ServingCacheConfig, root: str = "", draft: DraftModel | None = None
    ) -> Engine:
        """Make another engine over the same weights."""
        runner = self.runner(cache.cache_tokens or self.default_tokens(cache), cache)
        return Engine(
            runner,
            self.whole_encoding,
            stop_ids=self.stop_ids,
            config=config,
            root=root,
            draft=draft,
            adapters=self.adapters,
            usual_adapter=self.usual_adapter,
        )

    def runner(self, tokens: int, cache: ServingCacheConfig) -> NativeRunner:
        """A runner with room for this many tokens; its blocks have 16."""
        return NativeRunner(self.weights, num_blocks=-(-tokens // BLOCK_SIZE), cache_type=cache.cache_type)

    @cached_property
    def _beams(self) -> BeamSearcher:
        variants = Variants(self.whole_encoding, "", self.adapters, self.usual_adapter)
        make = partial(self.runner, cache=ServingCacheConfig())
        return BeamSearcher(make, self.tokenizer, variants, self.stop_ids, BLOCK_SIZE)

    def generate(self, requests: Sequence[GenerateRequest]) -> list[list[Completion]]:
        """Complete requests, as `Engine.generate`; requests for beams are searched alone, one after the other."""
        others = [request for request in requests if request.num_beams <= 1]
        written = iter(self._engine.generate(others) if others else [])
        return [self._beams.generate(one) if one.num_beams > 1 else next(written) for one in requests]

    def submit(self, request: GenerateRequest) -> Stream:
        """Start a request, as `Engine.submit`; a request for beams is searched by itself."""
        return self._beams.submit(request) if request.num_beams > 1 else self._engine.submit(request)

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """Score texts, as `Engine.score`."""
        return self._engine.score(requests)

    def default_tokens(self, cache: ServingCacheConfig) -> int:
        """The default number of tokens in a cache."""
        free = int(free_memory() * CACHE_SHARE)
        each = bytes_per_token(self.config, _FLOAT_BYTES, cache.cache_type)
        return default_tokens(self.whole_encoding.context or self.config.max_positions, free, each)


def default_tokens(context: int, free: int, each: int) -> int:
    """The default number of tokens in a cache: 16 full contexts, as far as the memory allows.

    Args:
        context: most tokens of one text.
        free: bytes the cache may take.
        each: bytes of a token.
    """
    return max(min(free // each, max(_CONTEXTS * context, _LEAST_TOKENS)), min(context, _LEAST_TOKENS))


def bytes_per_token(config: ModelConfig, number: int, cache_type: str) -> int:
    """Bytes of a token's keys and values in all layers.

    Args:
        config: configuration of the model.
        number: bytes of a number in the type of the weights.
        cache_type: type of the stored keys and values.
    """
    vectors = 2 * (config.num_decoder_layers or config.num_layers) * config.num_kv_heads
    if cache_type == "int8":
        return vectors * (config.head_dim + 4)  # a scale and a middle in 16 bits
    return vectors * config.head_dim * (2 if cache_type == "bf16" else number)
