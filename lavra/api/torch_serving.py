"""Engines of torch's over a loaded model, and the adapters that their requests choose among.

`lavra.api.serving` comes here by reference; the native runner's engines import nothing of this.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Mapping
from pathlib import Path

from lavra.adapt.inject import activate
from lavra.adapt.peft_read import load_adapter
from lavra.api.adapter import AdapterFolder, read_adapter
from lavra.api.cache_config import ServingCacheConfig
from lavra.api.embed import TorchEmbedder
from lavra.api.find import find_folder
from lavra.api.model import TextModel
from lavra.api.native_port import CACHE_SHARE, bytes_per_token, default_tokens
from lavra.api.serving import draft_runner
from lavra.base.card import CARD_FILE, artifact_id, read_card
from lavra.base.device import available_memory
from lavra.base.errors import CheckpointError, InputError
from lavra.base.files import hash_file
from lavra.base.memory import release_freed_memory
from lavra.engine import DraftModel, Engine, EngineAdapter, EngineConfig
from lavra.engine.runners.adapted import adapters_in, front_of, weights_version
from lavra.engine.runners.fused import fuse, is_fused
from lavra.engine.runners.torch import TorchRunner
from lavra.generate.in_process import InProcessModel
from lavra.model.transformer import Encoder
from lavra.tokens.tokenizer import Tokenizer

logger = logging.getLogger(__name__)


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
    """An engine of torch's over a loaded model; arguments and errors as `start_engine`."""
    cache = cache or ServingCacheConfig()
    port = in_process_port(model)
    if isinstance(port.model, Encoder):
        raise InputError("this model is an encoder and cannot write text; serve its embeddings")
    if not keep:
        for one in (model,) if draft is None else (model, draft):
            hold_once(one)
    tokens = cache.cache_tokens or default_cache_tokens(port, cache)
    helper = None if draft is None else DraftModel(draft_runner(model, draft, tokens, cache), most=draft_tokens)
    runner = torch_runner(model, tokens, cache)
    return Engine(
        runner,
        port.whole_reading,
        stop_ids=port.stop_ids,
        config=config,
        root=root,
        draft=helper,
        adapters=engine_adapters(port),
        usual_adapter=usual_adapter(port),
    )


def add_adapters(model: TextModel, folders: Mapping[str, str | Path]) -> None:
    """Put saved adapters into a loaded model, for an engine whose requests choose among them; none acts of itself.

    Args:
        model: a decoder or an encoder-decoder, in this process, before it is fused.
        folders: by the name of the adapter, as PEFT or lavra wrote them; or hub ids.

    Raises:
        InputError: the model is no language model or is an adapter itself, or an adapter's tokenizer is another one.
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
            _check_adapter(found, model.folder, port.tokenizer)
        load_adapter(port.model, folder, name)
    if folders:
        activate(port.model)


def _check_adapter(adapter: AdapterFolder, base: Path | None, tokenizer: Tokenizer) -> None:
    if adapter.head is not None:
        raise InputError(
            f"{adapter.folder} was made with a head for {adapter.head.task!r} and writes no text; serve the "
            "folder as a model of its own"
        )
    if (adapter.folder / "tokenizer.json").exists():
        own = Tokenizer.load(adapter.folder)
        if own.fingerprint != tokenizer.fingerprint:
            raise InputError(f"{adapter.folder} has another tokenizer than its base here, which all adapters share")
        if own.eos_id is not None and own.eos_id != tokenizer.eos_id:
            raise InputError(
                f"{adapter.folder} ends a text with {own.token(own.eos_id)!r} and its base with something else, which "
                "all adapters share; serve the folder as a model of its own"
            )
    if base is not None:
        _check_base(adapter, base)


def _check_base(adapter: AdapterFolder, base: Path) -> None:
    """Refuse another model's adapter: by the cards, or by the weights of the model it names, where that is here."""
    made_for = read_card(adapter.folder).parents.get("model") if (adapter.folder / CARD_FILE).exists() else None
    own = artifact_id(base)
    if made_for is not None and made_for == own:
        return
    named = None if adapter.base is None else Path(adapter.base).expanduser()
    if named is not None and named.exists():
        if not _same_weights(named, base):
            raise CheckpointError(
                f"{adapter.folder} was made for {named}, whose weights are not those of {base}; serve it over {named}"
            )
    elif made_for is not None and own is not None:
        raise CheckpointError(
            f"{adapter.folder} was made for the model {made_for} ({adapter.base}), and {base} is {own} by its card; "
            "serve it over its own"
        )
    elif adapter.base is not None and not _is_called(base, adapter.base):
        logger.warning(
            "%s was made for %s, which is not here to be compared with %s; its tensors fit", adapter.folder, named, base
        )


def _same_weights(one: Path, other: Path) -> bool:
    if one.resolve() == other.resolve():
        return True
    return _weights(one) == _weights(other)


def _weights(folder: Path) -> dict[str, str]:
    files = [folder] if folder.is_file() else sorted(folder.glob("*.safetensors"))
    return {path.name: hash_file(path) for path in files}


def _is_called(folder: Path, name: str) -> bool:
    """Whether a folder, of a user's or of the hub's cache, has this name."""
    return folder.name == Path(name).name or f"models--{name.replace('/', '--')}" in folder.parts


def engine_adapters(port: InProcessModel) -> tuple[EngineAdapter, ...]:
    """The adapters of a model as an engine knows them; none where they are merged into its weights."""
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

    It writes, scores and embeds, and can be neither saved nor trained from then on.

    Raises:
        InputError: the model is elsewhere.
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
    """The port of a model of torch's.

    Raises:
        InputError: the model is elsewhere.
    """
    port = model.port
    if not isinstance(port, InProcessModel):
        raise InputError(f"an engine needs the weights in this process, and {type(port).__name__} has them elsewhere")
    return port


def torch_runner(model: TextModel, tokens: int, cache: ServingCacheConfig) -> TorchRunner:
    """A runner over a model of torch's with room for so many tokens."""
    port = in_process_port(model)
    assert not isinstance(port.model, Encoder)
    return TorchRunner(
        port.model,
        port.config,
        num_blocks=-(-tokens // cache.block_size),
        block_size=cache.block_size,
        cache_type=cache.cache_type,
    )


def default_cache_tokens(port: InProcessModel, cache: ServingCacheConfig, number: int | None = None) -> int:
    """Tokens that a cache holds where nobody says.

    Args:
        port: of the model.
        cache: what keys and values are kept in.
        number: bytes of a number in a cache of the model's type; those of its weights unless given.
    """
    weight = next(port.model.parameters())
    free = int(available_memory(weight.device) * CACHE_SHARE)
    each = bytes_per_token(port.config, number or weight.dtype.itemsize, cache.cache_type)
    return default_tokens(port.whole_reading.context or port.config.max_positions, free, each)
