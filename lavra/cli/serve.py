"""`lavra serve`: models and indexes behind OpenAI's protocol, with a chat page, until Ctrl-C."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lavra.cli.console import print_json_line
from lavra.cli.flags import read_settings
from lavra.verbs.activity import activity
from lavra.verbs.serving import on_a_free_port, open_table, serve_table, with_keys
from lavra.verbs.settings.serve import ServeSettings

if TYPE_CHECKING:  # `lavra.verbs.serving` names the package to install where the server's packages are missing
    from lavra.server.served import ModelTable, ServedModel


def run(args: argparse.Namespace) -> int:
    """Load the models and serve them."""
    serve_folders(args.models, with_keys(read_settings(ServeSettings, args)), as_json=args.json)
    return 0


def serve_folders(models: Sequence[str], settings: ServeSettings | None = None, *, as_json: bool = False) -> None:
    """Serve models, each `FOLDER` or `NAME=FOLDER`, until Ctrl-C.

    Args:
        models: any number; at least one where the settings name no index.
        settings: settings of `lavra serve`; those of `on_a_free_port` unless given.
        as_json: announce the address as JSON.
    """
    chosen = settings or on_a_free_port()
    table = open_table(models, chosen)
    serve_table(table, chosen, lambda url: announce(url, table, as_json=as_json))


def announce(url: str, models: ModelTable, *, as_json: bool) -> None:
    """Print the server's address; after that only errors are printed."""
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
        return f"up to {model.max_length:,} tokens"
    if model.predictor is not None:
        labels = f", labels {', '.join(model.predictor.labels)}" if model.predictor.labels else ""
        return f"{model.head_path}{labels}"
    return "embeddings" if model.filler is None else "embeddings, gaps filled"


def _template(model: ServedModel) -> str:
    """A note on a chat template that is not the model's own."""
    if model.engine is None or model.engine.encoding.decoder_start is not None:
        return ""
    return (
        "; no chat template, so ChatML stands in (--chat-template names another)"
        if model.conversation_writer.stands_in
        else ""
    )
