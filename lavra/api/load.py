"""`lavra.load`: open a model by its path, by its name, or from the Hugging Face hub when the user names one there."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from lavra.adapt.embedding_folder import EmbeddingConfig, read_embedding_config
from lavra.api.adapter import AdapterFolder, open_with_adapter, read_adapter
from lavra.api.embed import TorchEmbedder
from lavra.api.hub import fetch, is_hub_id
from lavra.api.model import TextModel
from lavra.api.no_writer import NoWriter
from lavra.base.device import pick_device
from lavra.base.errors import ConfigError, InputError, nearest
from lavra.base.gguf_file import SUFFIX, is_gguf
from lavra.base.names import ModelNames, kind_of
from lavra.base.workspace import Workspace
from lavra.generate.front import NO_FRONT, Front
from lavra.generate.in_process import InProcessModel
from lavra.model.build import Model
from lavra.model.checkpoint import DTYPES
from lavra.model.heads import TaskModel
from lavra.model.task_folder import load_task_model, task_in
from lavra.model.transformer import EncoderDecoder
from lavra.quantize import HeldWeights, open_model
from lavra.quantize.expand import held_weights, opening_dtype
from lavra.tasks.predicting.headed import HeadedModel
from lavra.tasks.predicting.predictor import HeadedPredictor
from lavra.tokens.tokenizer import Tokenizer

logger = logging.getLogger(__name__)


def load(
    path: str | Path,
    *,
    dtype: str | torch.dtype | None = None,
    device: str | None = None,
    base: str | Path | None = None,
    expand: bool = True,
) -> TextModel:
    """Open a model of any family, with or without a task's head, or an adapter over its model.

    Args:
        path: a Hugging Face folder, a PEFT adapter's, a GGUF file, the name of a model of the workspace (`latest` is
            the newest), or `owner/model` on the Hugging Face hub (the only case that uses the network).
        dtype: `float32`, `bfloat16` or `float16`; by default what computes fastest: float32 on a CPU, the
            checkpoint's own elsewhere.
        device: `cpu`, `cuda`, `cuda:1`, …; CUDA by default where there is one, else the CPU.
        base: of an adapter, the model it belongs to, where that is not where its folder says.
        expand: hold compressed weights in the form that computes fastest; False keeps them as they are stored,
            smaller and slower.

    Returns:
        A `TextModel`; its `.runner` says what computes, its `.held` what the weights take.

    Raises:
        InputError: there is no such folder or model, or no such device; `base` for what is no adapter.
        CheckpointError: the folder cannot be opened: unsupported, incomplete, damaged or unsafe.
    """
    folder = find_folder(str(path))
    wanted, where = parse_dtype(dtype) if isinstance(dtype, str) else dtype, pick_device(device)
    adapter = read_adapter(folder)
    if adapter is not None:
        return _with_adapter(adapter, None if base is None else str(base), wanted, where, expand)
    if base is not None:
        raise InputError(f"base is the model an adapter belongs to, and {folder} is no adapter; leave base out")
    if task_in(folder) is not None:
        chosen = opening_dtype(folder, where) if wanted is None and expand else wanted
        headed = load_task_model(folder, dtype=chosen, device=where)
        return _headed(headed, Tokenizer.load(folder), folder, held_weights(headed, folder))
    model, held = open_model(folder, dtype=wanted, device=where, expand=expand)
    return _language_model(model, Tokenizer.load(folder), folder, read_embedding_config(folder), held)


def _language_model(
    model: Model,
    tokenizer: Tokenizer,
    folder: Path,
    embedding: EmbeddingConfig,
    held: HeldWeights,
    front: Front = NO_FRONT,
    adapter: AdapterFolder | None = None,
) -> TextModel:
    port = InProcessModel(model, model.config, tokenizer, front=front)
    where = next(model.parameters()).device
    logger.info("%s: %s on %s, runner torch, weights %s", folder, model.config.family, where, held)
    virtual = front.source if isinstance(model, EncoderDecoder) else front.prompt
    embedder = TorchEmbedder(port.model, port.whole_reading, embedding, virtual=virtual)
    return TextModel(
        port, runner="torch", tokenizer=tokenizer, embedder=embedder, folder=folder, adapter=adapter, held=held
    )


def _headed(
    model: TaskModel,
    tokenizer: Tokenizer,
    folder: Path,
    held: HeldWeights,
    virtual: tuple[int, ...] = (),
    adapter: AdapterFolder | None = None,
) -> TextModel:
    headed = HeadedModel(model, tokenizer, virtual=virtual)
    where = next(model.parameters()).device
    logger.info(
        "%s: %s with a head for %s on %s, weights %s", folder, model.config.family, headed.spec.name, where, held
    )
    return TextModel(
        NoWriter(headed.spec),
        runner="torch",
        tokenizer=tokenizer,
        predictor=HeadedPredictor(headed),
        folder=folder,
        adapter=adapter,
        held=held,
    )


def _with_adapter(
    adapter: AdapterFolder, base: str | None, dtype: torch.dtype | None, device: torch.device, expand: bool
) -> TextModel:
    below = find_base(adapter) if base is None else find_folder(base)
    has_tokenizer = (adapter.folder / "tokenizer.json").exists()
    tokenizer = Tokenizer.load(adapter.folder if has_tokenizer else below)
    model, front = open_with_adapter(adapter, below, tokenizer, dtype=dtype, device=device, expand=expand)
    held = held_weights(model, below)
    if isinstance(model, TaskModel):
        return _headed(model, tokenizer, adapter.folder, held, front.prompt, adapter)
    embedding = adapter.embedding(read_embedding_config(below))
    return _language_model(model, tokenizer, adapter.folder, embedding, held, front, adapter)


def find_base(adapter: AdapterFolder) -> Path:
    """The model an adapter belongs to, where its folder says it is; nothing is fetched that nobody named.

    Raises:
        InputError: it does not say, or the model is not there.
    """
    if adapter.base is None:
        raise InputError(f"{adapter.folder} does not say which model it belongs to; name it with base=")
    folder = Path(adapter.base).expanduser()
    if not folder.is_dir() and not is_gguf(folder):
        raise InputError(
            f"the adapter {adapter.folder} belongs to {adapter.base!r}, which is no folder here; name it with base=, "
            "by its folder or by its id on the Hugging Face hub"
        )
    return folder


def find_folder(name: str, *, workspace: Workspace | None = None, whole: bool = False) -> Path:
    """The folder or GGUF file that a word means: a path, the name of a model of the workspace, or a hub id.

    Args:
        name: the word; a hub id is fetched.
        workspace: whose names count; that of `LAVRA_WORKSPACE`, or `./lavra-workspace`, unless given.
        whole: a model that stands by itself is wanted, and no adapter; only `latest` is read by it.

    Raises:
        InputError: it is none of them, or two at once.
    """
    path, names = Path(name).expanduser(), ModelNames(workspace or Workspace.open())
    is_word = Path(name).name == name
    named = names.find(name, whole=whole) if is_word else None
    if kind_of(path) is None and named is not None:
        return _file_in(named)
    if named is not None and named.resolve() != path.resolve():
        raise InputError(
            f"{name!r} is a model's folder here and the name of {named}; write ./{name} for the one here, "
            "or the other's path"
        )
    if path.is_dir() or is_gguf(path):
        return _file_in(path)
    if path.exists():
        raise InputError(f"{name} is a file; give the folder that holds config.json and the weights, or a GGUF file")
    if is_hub_id(name):
        return fetch(name)
    raise InputError(
        f"{name} is neither a folder here nor a hub id of the form owner/model; check the path"
        + (_names_instead(name, names) if is_word else "")
    )


def _names_instead(name: str, names: ModelNames) -> str:
    """What to say of the workspace to someone whose word is no name in it."""
    known = names.known()
    if not known:
        return f" (and {names.workspace.path} has no models, so no names)"
    return f", or name a model of {names.workspace.path}{nearest(name, known)}"


def _file_in(folder: Path) -> Path:
    """The GGUF file of a folder that holds one and no other model; else the folder.

    Raises InputError where it holds several.
    """
    if kind_of(folder) != "gguf" or folder.is_file():
        return folder
    files = sorted(folder.glob(f"*{SUFFIX}"))
    if len(files) > 1:
        raise InputError(f"{folder} holds {len(files)} GGUF files; name one: {', '.join(str(one) for one in files)}")
    return files[0]


def parse_dtype(name: str) -> torch.dtype:
    """A dtype by its name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in DTYPES:
        raise ConfigError(f"dtype={name!r} is unknown{nearest(name, DTYPES)}")
    return DTYPES[name]
