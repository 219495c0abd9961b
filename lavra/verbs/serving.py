"""Open models and indexes for a server: each model with its engine, its adapters and its draft model."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from lavra.api.adapted_model import open_with_adapters
from lavra.api.cache_config import ServingCacheConfig
from lavra.api.fill import mask_filler
from lavra.api.find import find_folder
from lavra.api.held_port import held_port
from lavra.api.identity import answer_fingerprint, model_facts, model_files
from lavra.api.load import load
from lavra.api.model import TextModel
from lavra.api.serving import fused_model, start_engine
from lavra.base.card import artifact_id
from lavra.base.errors import InputError, MissingDependencyError
from lavra.base.files import hash_json
from lavra.base.gguf_file import SUFFIX
from lavra.base.introduction import read_introduction
from lavra.base.lazy import resolve
from lavra.base.memory import release_freed_memory
from lavra.base.workspace import Workspace
from lavra.engine.batching import BatchingEmbedder, BatchingMaskFiller, BatchingPredictor, LengthyEmbedder
from lavra.engine.config import EngineConfig
from lavra.model.config import Kind, ModelConfig
from lavra.tokens.named_templates import find_template
from lavra.tokens.tokenizer import Tokenizer
from lavra.verbs.activity import activity
from lavra.verbs.settings.serve import ServeSettings

try:
    from lavra.server.app import build_app, spans_module
    from lavra.server.config import ServeConfig
    from lavra.server.run import Server, address, free_port, open_socket, serve
    from lavra.server.search.served_index import ServedIndex
    from lavra.server.served import ModelTable, ServedModel
except ImportError as missing:  # only the server needs them
    raise MissingDependencyError(missing.name or "fastapi", "lavra serve", "serve") from missing


def open_table(models: Sequence[str], settings: ServeSettings) -> ModelTable:
    """Open the models and indexes to serve.

    Args:
        models: each `FOLDER` or `NAME=FOLDER`; at least one where the settings name no index.
        settings: settings of the server, its engines and their caches.

    Raises:
        InputError: a model or an index does not exist, or the settings do not fit the models.
    """
    if settings.traces is not None:
        spans_module()  # before minutes are spent on opening models
    if settings.adapter and len(models) > 1:
        raise InputError(
            f"`adapter` with {len(models)} models: nothing says which of them it is for; serve its base by itself"
        )
    if settings.chat_template and len(models) != 1:
        raise InputError(f"`chat_template` with {len(models)} models: it is one model's; serve that by itself")
    indexes = open_indexes(models, settings)
    draft = open_draft(settings)
    opened = [one for name in models for one in with_adapters(open_model(name, settings, draft), settings)]
    return ModelTable(opened, indexes)


def with_keys(settings: ServeSettings) -> ServeSettings:
    """The settings with the keys of `LAVRA_API_KEYS` and of the key file added to their own.

    Raises:
        InputError: the file cannot be read, or a line is not a key.
    """
    keys = {**dict.fromkeys(settings.api_keys, ()), **settings.key_groups, **read_keys(settings.key_file)}
    return replace(settings, api_keys=tuple(keys), key_groups=keys)


def serve_table(table: ModelTable, settings: ServeSettings, on_ready: Callable[[str], None]) -> None:
    """Serve the opened models until Ctrl-C or SIGTERM.

    Args:
        table: result of `open_table`; closed at the end.
        settings: the settings of `open_table`.
        on_ready: called with the URL before the first request can come.
    """
    config = _part(settings, ServeConfig)
    app = build_app(table, config)
    release_freed_memory()  # opening models and describing requests left some 20 MB
    serve(app, config, on_ready=on_ready)


def background_server(table: ModelTable, settings: ServeSettings) -> tuple[Server, socket.socket, str]:
    """A server that does not run yet, its socket and its URL.

    Args:
        table: result of `open_table`; closed when the server ends.
        settings: the settings of `open_table`.

    Raises:
        InputError: the address is not available.
    """
    config = _part(settings, ServeConfig)
    listening = open_socket(config)
    return Server(build_app(table, config), config), listening, address(listening)


def on_a_free_port(adapter: tuple[str, ...] = (), index: tuple[str, ...] = ()) -> ServeSettings:
    """The usual settings, with another port if the usual port is taken."""
    usual = ServeSettings(adapter=adapter, index=index)
    return replace(usual, port=free_port(usual.host, usual.port))


def open_indexes(models: Sequence[str], settings: ServeSettings) -> list[ServedIndex]:
    """The served indexes; the first model may write their answers unless another model is named."""
    if not settings.index:
        return []
    writer = settings.answer_model or next((name.rpartition("=")[2] for name in models), None)
    opening = resolve("lavra.verbs.live_index:open_served_index")  # a server of models alone has no use for retrieval
    return [opening(named, writer, Workspace.open()) for named in settings.index]


def open_draft(settings: ServeSettings) -> TextModel | None:
    """The draft model, shared by all served models: their engines share its weights."""
    if settings.draft is None:
        return None
    return fused_model(load(settings.draft, dtype=settings.dtype, device=settings.device, expand=settings.expand))


def _plain_name(word: str) -> str:
    """The served name of a model without a given name."""
    return Path(word).resolve().name.removesuffix(SUFFIX)


def open_model(named: str, settings: ServeSettings, draft: TextModel | None = None) -> ServedModel:
    """Open a model by `FOLDER` or `NAME=FOLDER`, with further names behind commas; and its draft model."""
    name, aliases, folder = names_of(named)
    activity.begin(f"opening {folder}")
    opening = partial(open_with_adapters, adapters=named_adapters(settings.adapter)) if settings.adapter else load
    opened = opening(folder, dtype=settings.dtype, device=settings.device, expand=settings.expand)
    template = None if settings.chat_template is None else find_template(settings.chat_template)
    if opened.predictor is not None:
        return replace(_headed(name, opened, settings), aliases=aliases)
    fingerprint = answer_fingerprint(opened, settings.cache_type, settings.expand, template)
    root = f"{folder}@{version_of(opened.folder)}"
    model = fused_model(opened)
    assert model.tokenizer is not None
    config: ModelConfig = held_port(model).config
    encodes = config.kind is Kind.ENCODER
    engine = None
    if not encodes:
        engine = start_engine(
            model,
            _part(settings, EngineConfig),
            _part(settings, ServingCacheConfig),
            root=root,
            draft=draft,
            draft_tokens=settings.draft_tokens,
        )
    embedder = None
    if isinstance(model.embedder, LengthyEmbedder):
        embedder = BatchingEmbedder(model.embedder, max_queue=settings.max_queue)
    filler = mask_filler(model.port) if encodes else None
    return ServedModel(
        name=name,
        aliases=aliases,
        tokenizer=model.tokenizer,
        engine=engine,
        embedder=embedder,
        filler=None if filler is None else BatchingMaskFiller(filler, max_queue=settings.max_queue),
        template=template,
        fingerprint=fingerprint,
        usual={} if encodes else opened.usual,
        introduction=read_introduction(opened.folder),
        facts=model_facts(opened),
        **_weights(model),
    )


def names_of(named: str) -> tuple[str, tuple[str, ...], str]:
    """The name of a model, its further names, and its folder; the folder's name unless a name is given.

    Raises:
        InputError: a name is empty.
    """
    names, sign, folder = named.rpartition("=")
    if not sign:
        return _plain_name(folder), (), folder
    name, *aliases = (one.strip() for one in names.split(","))
    if not all((name, *aliases)):
        raise InputError(f"{named!r} has an empty name; write NAME=MODEL, or NAME,OTHER=MODEL")
    return name, tuple(aliases), folder


def _weights(model: TextModel) -> dict[str, Any]:
    """The fields of `ServedModel` for the runner of a model and the size of its weights."""
    held = {} if model.held is None else {"weights": str(model.held), "weights_bytes": model.held.num_bytes}
    return {"runner": model.runner, **held}


def _headed(name: str, model: TextModel, settings: ServeSettings) -> ServedModel:
    """A model with a task's head."""
    assert model.tokenizer is not None
    assert model.predictor is not None
    predictor = BatchingPredictor(model.predictor, max_queue=settings.max_queue)
    facts = model_facts(model)
    return ServedModel(name=name, tokenizer=model.tokenizer, predictor=predictor, facts=facts, **_weights(model))


def named_adapters(given: Sequence[str]) -> dict[str, str]:
    """Folders of adapters by name, from `NAME=FOLDER` each, or from `FOLDER`, whose own name is then the adapter's.

    Raises:
        InputError: two adapters have the same name.
    """
    found: dict[str, str] = {}
    for one in given:
        name, _, folder = one.rpartition("=")
        name = name or _plain_name(folder)
        if name in found:
            raise InputError(f"adapter: two are called {name!r}; give one of them another name")
        found[name] = folder
    return found


def with_adapters(model: ServedModel, settings: ServeSettings) -> list[ServedModel]:
    """A model, and each adapter that requests may choose in its engine, with the chat template it was trained with."""
    if model.engine is None:
        return [model]
    folders = {name: find_folder(folder) for name, folder in named_adapters(settings.adapter).items()}
    templates = {
        name: Tokenizer.load(folder).chat_template
        for name, folder in folders.items()
        if (folder / "tokenizer.json").exists()
    }
    chosen = [name for name in model.engine.adapters if name != model.engine.usual_adapter]
    versions = {name: hash_json(model_files(folder)) for name, folder in folders.items()}
    own = {name: read_introduction(folder) for name, folder in folders.items()}
    return [
        model,
        *(model.with_adapter(name, templates.get(name), versions.get(name, ""), own.get(name)) for name in chosen),
    ]


def version_of(folder: Path | None) -> str:
    """A string that changes with the model: the id of the artifact in a folder, the time and size of a file."""
    if folder is None:
        return ""
    if folder.is_file():  # of some gigabytes: time and size identify it as well, at once
        state = folder.stat()
        return f"{state.st_mtime_ns}-{state.st_size}"
    return artifact_id(folder) or ""


def read_keys(path: Path | None) -> dict[str, tuple[str, ...]]:
    """API keys from the environment and from a file, each with the groups whose documents it reads in an index.

    A line of the file is a key, or a key, a space and its groups, separated by commas; `*` reads everything.
    Keys of the environment have no groups.

    Raises:
        InputError: the file cannot be read, or a line has further words.
    """
    keys = {key.strip(): () for key in os.environ.get("LAVRA_API_KEYS", "").split(",") if key.strip()}
    lines = [] if path is None else _lines(path)
    return {**keys, **dict(_key(line, f"key_file {path}:{number}") for number, line in lines)}


def _lines(path: Path) -> list[tuple[int, str]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"key_file {path} cannot be read ({error}); name a text file, one key a line") from None
    return [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def _key(line: str, place: str) -> tuple[str, tuple[str, ...]]:
    key, *groups = line.split()
    if len(groups) > 1:
        raise InputError(f"{place}: a line is a key, a space and its groups without spaces: KEY group,group")
    return key, tuple(group for group in "".join(groups).split(",") if group)


def _part(settings: ServeSettings, cls: Any) -> Any:
    """The fields of one of the three settings classes."""
    return cls(**{field.name: getattr(settings, field.name) for field in fields(cls)})
