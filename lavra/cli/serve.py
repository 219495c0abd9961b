"""`lavra serve`: models and indexes behind OpenAI's protocol, with a chat page, until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from lavra.api.cache_config import ServingCacheConfig
from lavra.api.find import find_folder
from lavra.api.held_port import held_port
from lavra.api.identity import answer_fingerprint, model_facts, model_files
from lavra.api.load import RunnerName, load
from lavra.api.model import TextModel
from lavra.api.serving import fused_model, start_engine
from lavra.base.card import artifact_id
from lavra.base.errors import InputError, MissingDependencyError
from lavra.base.files import hash_json
from lavra.base.gguf_file import SUFFIX
from lavra.base.introduction import read_introduction
from lavra.base.lazy import resolve
from lavra.base.workspace import Workspace
from lavra.cli.activity import activity
from lavra.cli.arguments.serve import ServeSettings
from lavra.cli.console import print_json_line
from lavra.cli.flags import read_settings
from lavra.engine import EngineConfig
from lavra.engine.batching import BatchingEmbedder, BatchingMaskFiller, BatchingPredictor, LengthyEmbedder
from lavra.model.config import Kind, ModelConfig
from lavra.tokens.named_templates import find_template
from lavra.tokens.tokenizer import Tokenizer

try:
    from lavra.server import ModelTable, ServeConfig, ServedIndex, ServedModel, build_app
    from lavra.server.app import spans_module
    from lavra.server.run import free_port, serve
except ImportError as missing:  # only the server needs them
    raise MissingDependencyError(missing.name or "fastapi", "lavra serve", "serve") from missing


def run(args: argparse.Namespace) -> int:
    """Load, listen, serve."""
    settings = read_settings(ServeSettings, args)
    keys = read_keys(settings.key_file)
    serve_folders(args.models, replace(settings, api_keys=tuple(keys), key_groups=keys), as_json=args.json)
    return 0


def serve_folders(models: Sequence[str], settings: ServeSettings | None = None, *, as_json: bool = False) -> None:
    """Serve models, each `FOLDER` or `NAME=FOLDER`, until Ctrl-C.

    Args:
        models: any number; at least one where the settings name no index.
        settings: of `lavra serve`; those of `on_a_free_port` unless given.
        as_json: announce the address as JSON.
    """
    chosen = settings or on_a_free_port()
    config = _part(chosen, ServeConfig)
    if config.traces is not None:
        spans_module()  # before minutes are spent on opening models
    if chosen.adapter and len(models) > 1:
        raise InputError(
            f"--adapter with {len(models)} models: nothing says which of them it is for; serve its base by itself"
        )
    if chosen.chat_template and len(models) != 1:
        raise InputError(f"--chat-template with {len(models)} models: it is one model's; serve that by itself")
    indexes = open_indexes(models, chosen)
    draft = open_draft(chosen)
    opened = [one for name in models for one in with_adapters(open_model(name, chosen, draft), chosen)]
    table = ModelTable(opened, indexes)
    serve(build_app(table, config), config, on_ready=lambda url: announce(url, table, as_json=as_json))


def on_a_free_port(adapter: tuple[str, ...] = (), index: tuple[str, ...] = ()) -> ServeSettings:
    """The usual settings, on another port where the usual one is taken."""
    usual = ServeSettings(adapter=adapter, index=index)
    return replace(usual, port=free_port(usual.host, usual.port))


def open_indexes(models: Sequence[str], settings: ServeSettings) -> list[ServedIndex]:
    """The indexes that are served, whose answers the first model may write unless another one is named."""
    if not settings.index:
        return []
    writer = settings.answer_model or next((name.rpartition("=")[2] for name in models), None)
    opening = resolve("lavra.cli.serve_index:open_served_index")  # a server of models alone has no use for retrieval
    return [opening(named, writer, Workspace.open()) for named in settings.index]


def open_draft(settings: ServeSettings) -> TextModel | None:
    """The model that guesses, one for all that are served: their engines share its weights."""
    if settings.draft is None:
        return None
    runner: RunnerName | None = "torch" if settings.adapter else None  # the one of the model it guesses for
    return fused_model(
        load(settings.draft, dtype=settings.dtype, device=settings.device, expand=settings.expand, runner=runner)
    )


def _plain_name(word: str) -> str:
    """What a model is served as where no name was given."""
    return Path(word).resolve().name.removesuffix(SUFFIX)


def open_model(named: str, settings: ServeSettings, draft: TextModel | None = None) -> ServedModel:
    """A model by `FOLDER` or `NAME=FOLDER`, where further names may stand behind a comma; and what guesses for it."""
    name, aliases, folder = names_of(named)
    activity.begin(f"opening {folder}")
    runner: RunnerName | None = "torch" if settings.adapter else None  # which changes the weights it is given
    opened = load(folder, dtype=settings.dtype, device=settings.device, expand=settings.expand, runner=runner)
    if opened.predictor is not None and settings.adapter:
        raise InputError(f"{folder} has a task's head, over which no adapters are served; leave --adapter out")
    template = None if settings.chat_template is None else find_template(settings.chat_template)
    if opened.predictor is not None:
        return replace(_headed(name, opened, settings), aliases=aliases)
    if settings.adapter:
        resolve("lavra.api.torch_serving:add_adapters")(opened, named_adapters(settings.adapter))
    fingerprint = answer_fingerprint(opened, settings.cache_type, settings.expand, template)
    root = f"{folder}@{version_of(opened.folder)}"
    engine, computes = None, opened.runner
    if settings.adapter and draft is None:
        engine, computes = resolve("lavra.api.native_adapters:start_adapted_engine")(
            opened, _part(settings, EngineConfig), _part(settings, ServingCacheConfig), root=root
        )
    model = fused_model(opened)
    assert model.tokenizer is not None
    config: ModelConfig = held_port(model).config
    encodes = config.kind is Kind.ENCODER
    if not encodes and engine is None:
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
    filler = None
    if encodes and config.has_head:  # torch fills gaps, whichever runner embeds
        filler = resolve("lavra.api.fill:mask_filler")(model.in_torch("filling gaps").port)
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
        **{**_weights(model), "runner": computes},
    )


def names_of(named: str) -> tuple[str, tuple[str, ...], str]:
    """The name of a model, other names that it answers to, and its folder; the folder's name unless one is given.

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
    """The fields of `ServedModel` that say what computes a model and what its weights take."""
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
    """Folders of adapters by name, from `NAME=FOLDER` each, or `FOLDER`, whose name is then the adapter's.

    Raises:
        InputError: two have one name.
    """
    found: dict[str, str] = {}
    for one in given:
        name, _, folder = one.rpartition("=")
        name = name or _plain_name(folder)
        if name in found:
            raise InputError(f"--adapter: two are called {name!r}; give one of them another name")
        found[name] = folder
    return found


def with_adapters(model: ServedModel, settings: ServeSettings) -> list[ServedModel]:
    """A model, and each adapter that requests may choose in its engine, with the chat template it was taught with."""
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
    """What tells one state of a folder from another: its card, where it has one."""
    if folder is None:
        return ""
    if folder.is_file():  # of some gigabytes: time and size tell as much, at once
        state = folder.stat()
        return f"{state.st_mtime_ns}-{state.st_size}"
    return artifact_id(folder) or ""


def read_keys(path: Path | None) -> dict[str, tuple[str, ...]]:
    """API keys from the environment and from a file, and the groups whose documents each reads in an index.

    A line of the file is a key, or a key and behind a space its groups, separated by commas; `*` reads everything.
    Keys of the environment have no groups.

    Raises:
        InputError: the file cannot be read, or a line is more than that.
    """
    keys = {key.strip(): () for key in os.environ.get("LAVRA_API_KEYS", "").split(",") if key.strip()}
    lines = [] if path is None else _lines(path)
    return {**keys, **dict(_key(line, f"--key-file {path}:{number}") for number, line in lines)}


def _lines(path: Path) -> list[tuple[int, str]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--key-file {path} cannot be read ({error}); name a text file, one key a line") from None
    return [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def _key(line: str, place: str) -> tuple[str, tuple[str, ...]]:
    key, *groups = line.split()
    if len(groups) > 1:
        raise InputError(f"{place}: a line is a key, a space and its groups without spaces: KEY group,group")
    return key, tuple(group for group in "".join(groups).split(",") if group)


def announce(url: str, models: ModelTable, *, as_json: bool) -> None:
    """Say where it listens; after that only errors are written."""
    activity.begin("")
    if as_json:
        names = {"models": [model.name for model in models], "indexes": [index.name for index in models.indexes]}
        print_json_line({"url": url, **names})
        return
    for model in models:
        held = f"; runner {model.runner}, weights {model.weights}" if model.weights and model.parent is None else ""
        print(f"model    {model.name}: {_abilities(model)}{held}{_template(model)}", file=sys.stderr)
    for index in models.indexes:
        count = len(index.texts.names(None))
        print(f"index    {index.name}: {count:,} documents, search page {url}/search", file=sys.stderr)
    print(f"serving  {url} (chat page; OpenAI clients: base_url {url}/v1); Ctrl-C stops it", flush=True)


def _abilities(model: ServedModel) -> str:
    if model.engine is not None:
        return f"up to {model.room:,} tokens"
    if model.predictor is not None:
        labels = f", labels {', '.join(model.predictor.labels)}" if model.predictor.labels else ""
        return f"{model.head_path}{labels}"
    return "embeddings" if model.filler is None else "embeddings, gaps filled"


def _template(model: ServedModel) -> str:
    """What is said of a chat template that is not the model's own."""
    if model.engine is None or model.engine.reading.decoder_start is not None:
        return ""
    return "; no chat template, so ChatML stands in (--chat-template names another)" if model.talker.stands_in else ""


def _part(settings: ServeSettings, cls: Any) -> Any:
    """The fields of one of the three settings classes."""
    return cls(**{field.name: getattr(settings, field.name) for field in fields(cls)})
