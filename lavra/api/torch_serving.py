"""Torch engines over a loaded model, and the adapters among which their requests choose.

`lavra.api.serving` calls this module by reference; the native runner's engines import no part of it.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping
from pathlib import Path

from lavra.adapt.inject import activate
from lavra.adapt.peft_read import load_adapter
from lavra.api.adapter_checks import check_adapter
from lavra.api.adapter_folder import read_adapter
from lavra.api.cache_config import ServingCacheConfig
from lavra.api.embed import TorchEmbedder
from lavra.api.find import find_folder
from lavra.api.model import TextModel
from lavra.api.native_port import CACHE_SHARE, bytes_per_token, default_tokens
from lavra.api.serving import draft_runner
from lavra.base.device import available_memory
from lavra.base.errors import InputError
from lavra.base.memory import release_freed_memory
from lavra.engine.adapters import EngineAdapter
from lavra.engine.config import EngineConfig
from lavra.engine.draft import DraftModel
from lavra.engine.engine import Engine
from lavra.engine.runners.adapted import adapters_in, front_of, weights_version
from lavra.engine.runners.fused import fuse, is_fused
from lavra.engine.runners.torch import TorchRunner
from lavra.generate.in_process import InProcessModel
from lavra.model.transformer import Encoder


def start_torch_engine(
    model: TextModel,
    config: EngineConfig | None = None,
    cache: ServingCacheConfig | None = None,
    *,
    root: str = "",
    draft: TextModel | None = None,
    draft_tokens: int = 4,
    keep: bool = False,
) -> Engine:
    """Start a torch engine over a loaded model; arguments and errors as in `start_engine`."""
    cache = cache or ServingCacheConfig()
    port = in_process_port(model)
    if isinstance(port.model, Encoder):
        raise InputError("this model is an encoder and cannot write text; serve its embeddings")
    if not keep:
        hold_once(model)
        if draft is not None and isinstance(draft.port, InProcessModel):
            hold_once(draft)
    tokens = cache.cache_tokens or default_cache_tokens(port, cache)
    helper = None if draft is None else DraftModel(draft_runner(model, draft, tokens, cache), most=draft_tokens)
    runner = torch_runner(model, tokens, cache)
    return Engine(
        runner,
        port.whole_encoding,
        stop_ids=port.stop_ids,
        config=config,
        root=root,
        draft=helper,
        adapters=engine_adapters(port),
        usual_adapter=usual_adapter(port),
    )


def add_adapters(model: TextModel, folders: Mapping[str, str | Path]) -> None:
    """Put saved adapters into a loaded model for its engine; an adapter acts only on requests that name it.

    Args:
        model: decoder or encoder-decoder, in this process, before it is fused.
        folders: folders written by PEFT or lavra, by the adapter's name; or hub ids.

    Raises:
        InputError: the model is not a language model or is an adapter itself, or an adapter's tokenizer differs.
        CheckpointError: a folder cannot be opened, or its adapter was made for another model.
    """
    port = in_process_port(model)
    if isinstance(port.model, Encoder):
        raise InputError("this model is an encoder, and adapters are chosen by requests to write; serve a decoder")
    if adapters_in(port.model) is not None:
        raise InputError(f"{model.folder} has an adapter already; name its base, and give each adapter by itself")
    for name, named in folders.items():
        folder = find_folder(str(named))
        found = read_adapter(folder)
        if found is not None:
            check_adapter(found, model.folder, port.tokenizer)
        load_adapter(port.model, folder, name)
    if folders:
        activate(port.model)


def engine_adapters(port: InProcessModel) -> tuple[EngineAdapter, ...]:
    """The adapters of a model, in the engine's form; empty where they are merged into its weights."""
    state = adapters_in(port.model)
    if state is None or state.merged:
        return ()
    return tuple(
        EngineAdapter(name=name, version=weights_version(port.model, name), front=front_of(port.model, name))
        for name in state.configs
    )


def usual_adapter(port: InProcessModel) -> str | None:
    """The adapter that acts on every row of the model."""
    state = adapters_in(port.model)
    if state is None or state.merged or not state.selections:
        return None
    names = [name for selection in state.selections for name in selection.names]
    if len(names) > 1 or state.selections[0].rows is not None:
        raise InputError(
            f"the adapters {', '.join(names)} act on the model together, and an engine has one a request; "
            "merge them, or call lavra.adapt.inject.activate(model) with one name or none"
        )
    return names[0]


def hold_once(model: TextModel) -> None:
    """Let a model compute over its fused twin, which engines and the embedder then share: one copy of its matrices.

    It still writes, scores and embeds, but can be neither saved nor trained from then on.

    Raises:
        InputError: the model is in another process.
    """
    port = in_process_port(model)
    if is_fused(port.model):
        return
    port.model = fuse(port.model)
    if isinstance(model.embedder, TorchEmbedder):
        model.embedder = model.embedder.over(port.model)
    gc.collect()  # the modules that held the matrices refer to one another
    release_freed_memory()


def in_process_port(model: TextModel) -> InProcessModel:
    """The port of a torch model.

    Raises:
        InputError: the model is in another process.
    """
    port = model.port
    if not isinstance(port, InProcessModel):
        raise InputError(f"an engine needs the weights in this process, and {type(port).__name__} has them elsewhere")
    return port


def torch_runner(model: TextModel, tokens: int, cache: ServingCacheConfig) -> TorchRunner:
    """A runner over a torch model, with room for `tokens` tokens."""
    port = in_process_port(model)
    assert not isinstance(port.model, Encoder)
    return TorchRunner(
        port.model,
        port.config,
        num_blocks=-(-tokens // cache.block_size),
        block_size=cache.block_size,
        cache_type=cache.cache_type,
    )


def default_cache_tokens(port: InProcessModel, cache: ServingCacheConfig) -> int:
    """The default number of tokens in a cache.

    Args:
        port: port of the model.
        cache: settings of the cache; they name the type of keys and values.
    """
    weight = next(port.model.parameters())
    free = int(available_memory(weight.device) * CACHE_SHARE)
    each = bytes_per_token(port.config, weight.dtype.itemsize, cache.cache_type)
    return default_tokens(port.whole_encoding.context or port.config.max_positions, free, each)
