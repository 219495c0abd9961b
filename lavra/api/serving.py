"""From a loaded model to an engine, whichever runner computes; torch is imported where it does."""

from __future__ import annotations

from typing import Final

from lavra.api.cache_config import ServingCacheConfig
from lavra.api.held_port import held_port
from lavra.api.model import TextModel
from lavra.api.native_port import NativeEncoderPort, NativePort
from lavra.base.errors import InputError
from lavra.base.lazy import resolve
from lavra.base.ports import Runner
from lavra.engine import DraftModel, Engine, EngineConfig
from lavra.engine.runners.native import BLOCK_SIZE
from lavra.generate.front import NO_FRONT
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
    """An engine over a loaded model and the adapters in it: a request may name one.

    Requests that name none get the model as it is now: with the adapter that acts on it, or none.

    The weights are held once: the model goes on writing, scoring and embedding over the matrices that the engine laid
    out, and can be neither saved nor trained from then on.

    Args:
        model: a decoder or an encoder-decoder, in this process.
        config: how requests share the machine.
        cache: how much is kept.
        root: the model's name and version.
        draft: a smaller decoder with the same tokenizer, which guesses.
        draft_tokens: tokens it guesses at once.
        keep: leave the model as it is; its weights are then held twice.

    Raises:
        InputError: the model is an encoder, is elsewhere, or cannot be served in blocks; or the draft's tokenizer is
            another one; or several adapters act on the model at once.
    """
    cache = cache or ServingCacheConfig()
    if isinstance(model.port, NativePort) and cache.block_size != BLOCK_SIZE:
        model = model.in_torch(f"a cache in blocks of {cache.block_size} tokens, not {BLOCK_SIZE},")
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
    return port.engine(config, cache, root, helper)


def fused_model(model: TextModel) -> TextModel:
    """The model itself, its weights laid out for an engine, which shares them: one copy of its matrices.

    It writes, scores and embeds; one of torch's can be neither saved nor trained from then on.

    Raises:
        InputError: the model is elsewhere.
    """
    if not isinstance(model.port, NativePort | NativeEncoderPort):  # whose weights are laid out when they are opened
        resolve(f"{_TORCH}:hold_once")(model)
    return model


def draft_runner(model: TextModel, draft: TextModel, tokens: int, cache: ServingCacheConfig) -> Runner:
    """A runner over the model that guesses, with room for as many tokens as the other's.

    Raises:
        InputError: one of the two is no decoder in this process, or their tokenizers differ.
    """
    large, small = held_port(model), held_port(draft)
    if small.config.kind is not Kind.DECODER or large.config.kind is not Kind.DECODER:
        raise InputError("only a decoder can guess, and only for a decoder; leave the draft model out")
    if getattr(small, "front", NO_FRONT) != NO_FRONT:
        raise InputError("the draft is a soft prompt, whose virtual tokens a draft model does not read; name its model")
    if small.tokenizer.fingerprint != large.tokenizer.fingerprint:
        raise InputError(
            "the draft model has another tokenizer, so its guesses mean nothing here; name one that shares it"
        )
    if isinstance(small, NativePort):
        return small.runner(tokens, cache)
    runner: Runner = resolve(f"{_TORCH}:torch_runner")(draft, tokens, cache)
    return runner
