"""From a loaded model to an engine, with either runner; torch is imported only where it computes."""

from __future__ import annotations

from typing import Final

from lavra.api.cache_config import ServingCacheConfig
from lavra.api.held_port import held_port
from lavra.api.model import TextModel
from lavra.api.native_encoder_port import NativeEncoderPort
from lavra.api.native_port import NativePort
from lavra.base.errors import InputError
from lavra.base.lazy import resolve
from lavra.base.memory import release_freed_memory
from lavra.base.ports import Runner
from lavra.engine.config import EngineConfig
from lavra.engine.draft import DraftModel
from lavra.engine.engine import Engine
from lavra.engine.runners.native import BLOCK_SIZE
from lavra.generate.virtual_tokens import NO_VIRTUAL_TOKENS
from lavra.model.config import Kind

_TORCH: Final = "lavra.api.torch_serving"


def start_engine(
    model: TextModel,
    config: EngineConfig | None = None,
    cache: ServingCacheConfig | None = None,
    *,
    root: str = "",
    draft: TextModel | None = None,
    draft_tokens: int = 4,
    keep: bool = False,
) -> Engine:
    """Start an engine over a loaded model and its adapters: a request may name an adapter.

    A request without an adapter's name uses the model as it is now: with its acting adapter, or without any.

    The weights are held once: the model goes on writing, scoring and embedding over the matrices that the engine laid
    out, and can be neither saved nor trained from then on.

    Args:
        model: decoder or encoder-decoder, in this process.
        config: settings by which requests share the machine.
        cache: settings of the key-value cache.
        root: name and version of the model.
        draft: smaller decoder with the same tokenizer, which guesses.
        draft_tokens: tokens it guesses at once.
        keep: leave the model as it is; its weights are then held twice.

    Raises:
        InputError: the model is an encoder, is in another process, or cannot be served in blocks; or the draft's
            tokenizer differs; or several adapters act on the model at once.
    """
    cache = cache or ServingCacheConfig()
    if cache.block_size != BLOCK_SIZE:
        what = f"a cache in blocks of {cache.block_size} tokens, not {BLOCK_SIZE},"
        model, draft = model.in_torch(what), None if draft is None else draft.in_torch(what)
    if isinstance(model.port, NativePort):
        return _native_engine(model, model.port, config, cache, root, draft, draft_tokens)
    engine: Engine = resolve(f"{_TORCH}:start_torch_engine")(
        model, config, cache, root=root, draft=draft, draft_tokens=draft_tokens, keep=keep
    )
    return engine


def _native_engine(
    model: TextModel,
    port: NativePort,
    config: EngineConfig | None,
    cache: ServingCacheConfig,
    root: str,
    draft: TextModel | None,
    draft_tokens: int,
) -> Engine:
    tokens = cache.cache_tokens or port.default_tokens(cache)
    helper = None if draft is None else DraftModel(draft_runner(model, draft, tokens, cache), most=draft_tokens)
    engine = port.engine(config, cache, root, helper)
    release_freed_memory()  # memory left from opening
    return engine


def fused_model(model: TextModel) -> TextModel:
    """The model itself, its weights laid out for an engine, which shares them: one copy of its matrices.

    It still writes, scores and embeds; a model of torch's can be neither saved nor trained from then on.

    Raises:
        InputError: the model is in another process.
    """
    if not isinstance(model.port, NativePort | NativeEncoderPort):  # opening lays out native weights already
        resolve(f"{_TORCH}:hold_once")(model)
    return model


def draft_runner(model: TextModel, draft: TextModel, tokens: int, cache: ServingCacheConfig) -> Runner:
    """A runner over the draft model, with room for as many tokens as the other model's runner.

    Raises:
        InputError: one of the two is not a decoder in this process, or their tokenizers differ.
    """
    large, small = held_port(model), held_port(draft)
    if small.config.kind is not Kind.DECODER or large.config.kind is not Kind.DECODER:
        raise InputError("a draft model and the model that it guesses for are both decoders; leave the draft model out")
    if getattr(small, "front", NO_VIRTUAL_TOKENS) != NO_VIRTUAL_TOKENS:
        raise InputError("the draft is a soft prompt, whose virtual tokens a draft model does not read; name its model")
    if small.tokenizer.fingerprint != large.tokenizer.fingerprint:
        raise InputError(
            "the draft model has another tokenizer, so its tokens do not fit; name a draft model with the same "
            "tokenizer"
        )
    if isinstance(small, NativePort):
        return small.runner(tokens, cache)
    runner: Runner = resolve(f"{_TORCH}:torch_runner")(draft, tokens, cache)
    return runner
